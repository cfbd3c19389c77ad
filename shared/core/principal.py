"""Who asks for a certificate, once that is proven: what `core/policy.py` decides about."""

from dataclasses import dataclass
from typing import assert_never

from cryptography import x509

from shared.core.identity import DeviceId


@dataclass(frozen=True, slots=True)
class FactoryDevice:
    """Holds a factory certificate, which names the device. For a first enrollment only.

    `thumbprint` is the SHA-256 of that certificate, `hardware_serial` the serialNumber in its subject, or empty.
    """

    device_id: DeviceId
    thumbprint: str = ""
    hardware_serial: str = ""


@dataclass(frozen=True, slots=True)
class IssuedDevice:
    """Holds a certificate that this label's CA has issued, and may renew that one alone, also soon after its end."""

    device_id: DeviceId
    certificate: x509.Certificate
    expired: bool = False


@dataclass(frozen=True, slots=True)
class PasscodeHolder:
    """Knows the passcode of a label."""

    user: str
    device_id: None = None


@dataclass(frozen=True, slots=True)
class OneTimePasscodeHolder:
    """Knows the one-time passcode that an operator has made for this device. `salt` tells it from a later one."""

    device_id: DeviceId
    salt: bytes


@dataclass(frozen=True, slots=True)
class Operator:
    """Asks for a device that cannot ask itself, or for many: a person or a factory's system."""

    caller: str
    device_id: DeviceId


type Principal = FactoryDevice | IssuedDevice | PasscodeHolder | OneTimePasscodeHolder | Operator


def kind(principal: Principal) -> str:
    """The principal's kind for the audit record."""
    match principal:
        case FactoryDevice():
            return "factory certificate"
        case IssuedDevice(expired=expired):
            return "expired issued certificate" if expired else "issued certificate"
        case PasscodeHolder():
            return "passcode"
        case OneTimePasscodeHolder():
            return "one-time passcode"
        case Operator():
            return "operator"
        case _:
            assert_never(principal)
