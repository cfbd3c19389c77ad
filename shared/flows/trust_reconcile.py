"""The enrollment groups of DPS trust the issuing CAs that devices' certificates have, while one CA follows another."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from shared.core.chain import check_chain, issuing
from shared.core.errors import Refusal, Unavailable
from shared.core.issuer import Roll, TrustChanged, newest, roll, thumbprint, trust_changed
from shared.core.profile import GroupEnrollment, Label, Profiles
from shared.flows.issuers import Issuers, RememberedChain
from shared.flows.ports.clock import Clock
from shared.flows.ports.dps import Group, Groups
from shared.flows.ports.index import Watermarks
from shared.flows.ports.ledger import StaleVersionError
from shared.flows.trust_outbox import TrustOutbox

type Chain = tuple[x509.Certificate, ...]

_REFUSED_MARK: Final = "dps-misses-root"
_REFUSED_COUNTS: Final = timedelta(hours=24)
_ATTEMPTS: Final = 4
# What DPS says of a device whose chain does not lead to a verified CA: error 401002 in two of its three texts.
_MISSING_ROOT: Final = ("ca certificate not found", "invalid certificate")


@dataclass(frozen=True, slots=True)
class Settled:
    """The group trusts what it must. `changed` tells the slots that were written now, with the CA or "nothing"."""

    group: str
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alert:
    """What an operator must do, or devices will be refused by DPS."""

    about: str
    text: str


@dataclass(frozen=True, slots=True)
class _Cas:
    """The CAs of a group's labels: all that are known, and the thumbprints of those it needs, most needed first."""

    known: Mapping[str, x509.Certificate]
    needed: tuple[str, ...]


@dataclass(frozen=True)
class TrustReconcile:
    """`chains` are the sources of the labels' chains, as `Chains` has them; `dps_host` is the DPS's service host."""

    profiles: Profiles
    chains: Mapping[Label, RememberedChain]
    issuers: Issuers
    groups: Groups
    outbox: TrustOutbox
    watermarks: Watermarks
    dps_host: str
    clock: Clock

    async def run(self) -> tuple[Settled | Alert, ...]:
        """Every label's chain and every group, once. One that fails is an alert and does not hold up the others."""
        results: list[Settled | Alert] = []
        chains: dict[Label, Chain] = {}
        for label, source in self.chains.items():
            try:
                chains[label] = check_chain(await source.fetch())
            except Refusal as refusal:
                results.append(Alert(label, _text(refusal)))
        for group, labels in self._groups().items():
            if all(label in chains for label in labels):
                results += await self._guarded(group, {label: chains[label] for label in labels})
        try:
            results += await self._roots(chains)
            await self._forget(chains, {one.group for one in results if isinstance(one, Settled)})
        except Refusal as refusal:
            results.append(Alert("trust", _text(refusal)))
        return tuple(results)

    async def _guarded(self, group: str, chains: Mapping[Label, Chain]) -> list[Settled | Alert]:
        try:
            return await self._group(group, chains)
        except Refusal as refusal:
            label, chain = next(iter(chains.items()))
            return [Alert(group, f"{_text(refusal)}. {self._remedy(chain, label)}")]

    async def refused(self, reason: str) -> None:
        """DPS has refused a device for this reason. The DPS's service API does not list its CA certificates, so its
        own refusals are what tells that the root is missing there. Raises Unavailable.
        """
        if any(text in reason.lower() for text in _MISSING_ROOT):
            await self.watermarks.put(_REFUSED_MARK, self.clock().isoformat())

    def _groups(self) -> dict[str, list[Label]]:
        groups: dict[str, list[Label]] = {}
        for label, profile in self.profiles.by_label.items():
            if isinstance(profile.dps, GroupEnrollment):
                groups.setdefault(profile.dps.group, []).append(label)
        return groups

    async def _group(self, name: str, chains: Mapping[Label, Chain]) -> list[Settled | Alert]:
        cas = await self._cas(chains)
        for _ in range(_ATTEMPTS):
            found = await self.groups.read(name)
            if found is None:
                remedy = f"az iot dps enrollment-group create --dps-name {self._dps} --enrollment-id {name}"
                return [Alert(name, f"DPS has no such enrollment group: {remedy} --certificate-path ISSUING-CA.pem")]
            left = await self.outbox.left(name, found.slots)
            if found.by_reference:  # it trusts all that is below the named CAs
                return [Settled(name, ()), *await self._tell(name, left)]
            wanted = roll(found.slots, cas.needed, cas.known)
            with contextlib.suppress(StaleVersionError):
                left = await self._put(found, cas, wanted, name, left)
                changed = tuple(f"{slot}: {_called(cas.known.get(one))}" for slot, one in wanted.change.items())
                return [Settled(name, changed), *_homeless(name, cas, wanted), *await self._tell(name, left)]
        raise Unavailable("the enrollment group is changing too fast", retry_after=5)

    async def _put(
        self, found: Group, cas: _Cas, wanted: Roll, name: str, left: tuple[TrustChanged, ...]
    ) -> tuple[TrustChanged, ...]:
        """What is to be told afterwards; it is kept before the group is changed, so that no crash can lose it."""
        if not wanted.change:
            return left
        change = trust_changed(name, found.slots, wanted, cas.known, self.clock())
        kept = await self.outbox.keep(name, left, change)
        await self.groups.put(name, found, {slot: cas.known.get(one) for slot, one in wanted.change.items()})
        return kept

    async def _tell(self, name: str, left: tuple[TrustChanged, ...]) -> list[Alert]:
        """No topic that is down keeps a group from trusting what it must."""
        try:
            await self.outbox.publish(name, left)
        except Refusal as refusal:
            text = f"{len(left)} changes of the group are not published yet, the next run tries again"
            return [Alert(name, f"{text}: {_text(refusal)}")]
        return []

    async def _cas(self, chains: Mapping[Label, Chain]) -> _Cas:
        """Needed are the CAs that issue now, and then those that have live certificates, the newest first."""
        now = self.clock()
        below = {thumbprint(one): one for chain in chains.values() for one in issuing(chain)}
        issue_now = [thumbprint(one) for chain in chains.values() if (one := newest(issuing(chain), now))]
        others = sorted(below.values(), key=lambda one: one.not_valid_before_utc, reverse=True)
        old = [one for one in others if thumbprint(one) not in issue_now]
        living = [thumbprint(one) for one in old if await self._is_alive(one, now)]
        return _Cas(below, tuple(dict.fromkeys([*issue_now, *living])))

    async def _is_alive(self, authority: x509.Certificate, now: datetime) -> bool:
        return now <= authority.not_valid_after_utc and await self.issuers.has_live(authority)

    async def _forget(self, chains: Mapping[Label, Chain], settled: set[str]) -> None:
        """A CA that has left its group need not be named to devices any more. Before, it must be known again there."""
        now = self.clock()
        for label, chain in chains.items():
            enrollment = self.profiles.by_label[label].dps
            if isinstance(enrollment, GroupEnrollment) and enrollment.group not in settled:
                continue
            current = newest(issuing(chain), now)
            for one in issuing(chain):
                if one != current and not await self._is_alive(one, now):
                    await self.chains[label].forget(one)

    async def _roots(self, chains: Mapping[Label, Chain]) -> list[Alert]:
        since = await self.watermarks.get(_REFUSED_MARK)
        if not since or self.clock() - datetime.fromisoformat(since) > _REFUSED_COUNTS:
            return []
        text = "DPS refuses devices because it has no verified CA certificate that their chains lead to"
        return [Alert(label, f"{text}. {self._remedy(chain, label)}") for label, chain in chains.items()]

    def _remedy(self, chain: Chain, label: Label) -> str:
        """The root stands last in a checked chain."""
        root = chain[-1]
        return (
            f"If DPS does not hold the root {_called(root)}: take it from /.well-known/est/{label}/cacerts and run "
            f"az iot dps certificate create --dps-name {self._dps} --resource-group GROUP "
            f"--certificate-name birthcert-root-{thumbprint(root)[:8]} --path ROOT.pem --verified true"
        )

    @property
    def _dps(self) -> str:
        return self.dps_host.partition(".")[0]


def _homeless(group: str, cas: _Cas, wanted: Roll) -> list[Alert]:
    text = "the group has two slots and needs more: let it name the root instead (caReferences)"
    return [Alert(group, f"{_called(cas.known.get(one))} has no slot: {text}") for one in wanted.homeless]


def _called(authority: x509.Certificate | None) -> str:
    if authority is None:
        return "nothing"
    return f"{authority.subject.rfc4514_string()} (SHA-256 {thumbprint(authority)})"


def _text(refusal: Refusal) -> str:
    return f"{refusal.public}: {refusal.cause}" if refusal.cause else refusal.public
