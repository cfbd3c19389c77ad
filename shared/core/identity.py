"""What a device is called, and when two names are the same device.

DPS compares registration ids without case, IoT Hub compares device ids with case, and a device of an X.509 enrollment
is called by its certificate's common name in both. So the exact spelling is kept, and one key without case finds it.
"""

import re
from typing import NewType

from shared.core.errors import Malformed

DeviceId = NewType("DeviceId", str)
RegistrationKey = NewType("RegistrationKey", str)

# DPS: alphanumeric and `: . _ -`, the last one alphanumeric or dash; with X.509 the common name's 64 characters rule.
_DEVICE_ID = re.compile(r"[A-Za-z0-9:._-]{0,63}[A-Za-z0-9-]")


def device_id(text: str) -> DeviceId:
    """The text as a device id. Raises Malformed with the grammar when it is none."""
    if not _DEVICE_ID.fullmatch(text):
        raise Malformed(
            "the device id must be 1 to 64 characters of letters, digits and : . _ - and must end with a letter, "
            "a digit or -"
        )
    return DeviceId(text)


def registration_key(name: DeviceId) -> RegistrationKey:
    """The form in which registration ids are compared: without case, as DPS does."""
    return RegistrationKey(name.lower())
