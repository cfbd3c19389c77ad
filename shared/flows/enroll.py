"""Birth and renewal over EST: authenticate the device, apply the label's profile, issue once, return the leaf."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from shared.core import basic, client_certificate, csr, est
from shared.core.client_certificate import NotTrusted
from shared.core.errors import (
    Forbidden,
    NotFound,
    OutcomeUnknown,
    Refusal,
    Unauthenticated,
)
from shared.core.est import Operation
from shared.core.fleet import LedgerCertificate
from shared.core.identity import DeviceId
from shared.core.policy import requested_device
from shared.core.principal import FactoryDevice, IssuedDevice, OneTimePasscodeHolder, PasscodeHolder, Principal
from shared.core.profile import Label, Profile, Profiles
from shared.flows.issue import Asked, Issue
from shared.flows.passcodes import Passcodes
from shared.flows.ports.clock import Clock
from shared.flows.ports.issuance import Pending
from shared.flows.ports.secrets import Secrets
from shared.flows.trust import Chains

# The device's own limit is 30 s (aziot-identityd), with cacerts on the same clock.
BUDGET_SECONDS = 23.0


@dataclass(frozen=True, slots=True)
class Presented:
    """What came with the request: the trusted client certificate header and the Authorization header, or empty."""

    certificate: str
    authorization: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A POST to simpleenroll or simplereenroll."""

    operation: Operation
    presented: Presented
    content_type: str
    content_encoding: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A certificate for a device; it may be one that the same request was given before."""

    device_id: DeviceId
    principal: Principal
    issued: LedgerCertificate


@dataclass(frozen=True, slots=True)
class Waiting:
    """DigiCert ONE has not decided yet (RFC 7030 §4.2.3: 202 with Retry-After)."""

    device_id: DeviceId
    principal: Principal
    retry_after: int


@dataclass(frozen=True)
class Enroll:
    """The EST proxy."""

    profiles: Profiles
    secrets: Secrets
    chains: Chains
    issue: Issue
    passcodes: Passcodes
    clock: Clock

    def profile(self, label: Label) -> Profile:
        """The profile of the label in the URL; the label-less URL has the default one. Raises NotFound."""
        profile = self.profiles.by_label.get(label or self.profiles.default)
        if profile is None:
            raise NotFound("there is no such label here")
        return profile

    async def ca_certificates(self, label: Label) -> tuple[x509.Certificate, ...]:
        """What `cacerts` returns. Raises NotFound, and what the label's source of it raises."""
        return await self.chains.current(self.profile(label).label)

    async def enroll(self, label: Label, submission: Submission) -> Enrolled | Waiting:
        """A certificate for the request, within the time that a device waits. Raises every Refusal."""
        profile, asked = self.profile(label), DeviceId("")
        try:
            async with asyncio.timeout(BUDGET_SECONDS):
                principal = await self.authenticate(profile, submission.presented, submission.operation)
                est.check_media(submission.content_type, submission.content_encoding)
                request = csr.parse(csr.decode_body(submission.body))
                asked = requested_device(principal, request)
                wish = Asked(asked, principal, submission.operation, request, source="est")
                outcome = await self.issue.issue(profile, wish)
                if isinstance(outcome, Pending):
                    return Waiting(asked, principal, outcome.retry_after)
                return Enrolled(asked, principal, outcome)
        except TimeoutError as error:
            late = OutcomeUnknown("it took too long; send the same request again", retry_after=10)
            late.device_id = asked
            raise late from error
        except Refusal as refusal:
            refusal.device_id = asked or refusal.device_id
            raise

    async def authenticate(self, profile: Profile, presented: Presented, operation: Operation) -> Principal:
        """Who asks. Raises Malformed, Unauthenticated, Forbidden.

        A trusted certificate decides; a password that came with it must be right too. Without one, the password.
        """
        passcode = _takes_passcodes(profile)
        refused: NotTrusted | None = None
        principal: Principal | None = None
        if presented.certificate:
            leaf = client_certificate.parse_header(presented.certificate)
            try:
                principal = await self._by_certificate(profile, leaf)
            except NotTrusted as error:
                refused = error
                principal = await self._late(profile, leaf, operation) if error.expired else None
        if presented.authorization and passcode:
            holder = await self._by_passcode(profile, presented.authorization)
            return principal or holder
        if principal is not None:
            return principal
        if refused is not None and not (refused.expired and passcode):
            raise Forbidden(refused.public, cause=refused.cause) from refused
        if not passcode:
            raise Forbidden("a client certificate is required here")
        text = refused.public if refused else "a client certificate or a passcode is required"
        raise Unauthenticated(text, challenge=True) from refused

    async def _by_certificate(self, profile: Profile, leaf: x509.Certificate) -> FactoryDevice | IssuedDevice:
        """Two trust stores that never merge (RFC 7030 §3.3.2). Raises NotTrusted, Forbidden."""
        rules = profile.authentication
        now = self.clock()
        refused = NotTrusted("client certificates are not accepted here")
        if rules.factory is not None:
            try:
                client_certificate.verify(leaf, rules.factory.trust, now)
            except NotTrusted as error:
                refused = error
            else:
                return client_certificate.factory_device(leaf, rules.factory.device_id)
        if rules.issued_certificate:
            try:
                await self._verify_issued(profile.label, leaf, now)
            except NotTrusted as error:
                refused = refused if refused.expired else error
            else:
                return IssuedDevice(client_certificate.device_named(leaf, "subject.common_name"), leaf)
        raise refused

    async def _verify_issued(self, label: Label, leaf: x509.Certificate, now: datetime) -> None:
        """Raises NotTrusted unless the label's CA has issued the certificate, also since our copy of it was fetched."""
        try:
            client_certificate.verify(leaf, await self.chains.issuing(label), now)
        except NotTrusted as error:
            if error.expired:
                raise
            client_certificate.verify(leaf, await self.chains.newer_issuing(label), now)

    async def _late(self, profile: Profile, leaf: x509.Certificate, operation: Operation) -> IssuedDevice | None:
        """The holder of a certificate of ours that ended a few days ago, where the profile lets it renew itself.

        A deviation from RFC 7030 §3.3.2, off by default: at simplereenroll alone, for a bounded time, never when the
        ledger holds it as revoked (the policy looks), and on the audit record as what it is.
        """
        grace = timedelta(days=profile.renewal.accept_expired_days)
        end = leaf.not_valid_after_utc
        if operation is not Operation.SIMPLEREENROLL or self.clock() > end + grace:
            return None
        try:
            client_certificate.verify(leaf, await self.chains.issuing(profile.label), end)
        except NotTrusted:
            return None
        return IssuedDevice(client_certificate.device_named(leaf, "subject.common_name"), leaf, expired=True)

    async def _by_passcode(self, profile: Profile, authorization: str) -> PasscodeHolder | OneTimePasscodeHolder:
        """The passcode of the label, or the one-time passcode of the device that is named as the user."""
        given = basic.parse(authorization)
        passcode = profile.authentication.passcode
        if passcode is not None and basic.matches(given, await self.secrets.get(passcode.secret)):
            return PasscodeHolder(given.user.decode(errors="replace"))
        if profile.authentication.one_time_passcodes:
            return await self.passcodes.holder(given)
        raise basic.wrong("it is not the passcode of the label")


def _takes_passcodes(profile: Profile) -> bool:
    return profile.authentication.passcode is not None or profile.authentication.one_time_passcodes
