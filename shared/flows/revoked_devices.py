"""From what a list says of certificates to the devices that have them: each is blocked once, however it is found."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from shared.core.blocking import is_live
from shared.core.crl import Revoked
from shared.core.errors import Conflict, Refusal, Unavailable
from shared.core.fleet import Block, Change, Snapshot
from shared.core.identity import DeviceId
from shared.core.revocation import Reason
from shared.flows.ports.clock import Clock
from shared.flows.ports.index import Index
from shared.flows.ports.ledger import Ledger, StaleVersionError
from shared.flows.revoke import Revoke

_AT_ONCE: Final = 16
_ATTEMPTS: Final = 5
_MOST_FAILURES: Final = 48
# Of a certificate that the device has replaced, these say nothing against the device: many CAs revoke what is renewed.
_OF_NO_MATTER: Final = (Reason.SUPERSEDED, Reason.CESSATION_OF_OPERATION)


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of the entries: the serials that need not be looked up again, and what went wrong with others."""

    done: frozenset[str] = frozenset()
    blocked: int = 0
    failures: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class _Word:
    """What a list says of one certificate, and what that is to do here.

    It is no news for a device whose block is not among `beyond`. `issuer` is the CA of that serial number, empty where
    the list names none; `of_newest` when the word says nothing against a device that has a newer certificate.
    """

    serial: str
    verb: Literal["hold", "revoke"]
    why: Reason
    caller: str
    saga_id: str
    beyond: tuple[Block, ...]
    issuer: str = ""
    of_newest: bool = False


@dataclass(frozen=True)
class RevokedDevices:
    """Looks up whose the certificates are. After many failures the rest is left for the next run."""

    index: Index
    ledger: Ledger
    revoke: Revoke
    clock: Clock

    async def on_crl(self, entries: Iterable[Revoked], issuer: str) -> Looked:
        """A hold stays one here: the CA may take it off."""
        return await self._look_up([_on_crl(one, issuer) for one in entries])

    async def on_list(self, serials: Iterable[str], *, crl_tells: bool) -> Looked:
        """DigiCert ONE's own list shows a hold and a revocation alike, and tells no reason.

        Where a CRL tells (`crl_tells`), the list is no more than the faster one: its word is a hold until the CRL has
        come, and for a certificate that was replaced it has none.
        """
        return await self._look_up([_on_list(one, crl_tells=crl_tells) for one in serials])

    async def _look_up(self, words: Sequence[_Word]) -> Looked:
        done: set[str] = set()
        failures: list[Refusal] = []
        blocked = 0
        for batch in itertools.batched(words, _AT_ONCE, strict=False):
            outcomes = await asyncio.gather(*(self._act(word) for word in batch))
            for word, outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, Refusal):
                    failures.append(outcome)
                else:
                    done.add(word.serial)
                    blocked += outcome
            if len(failures) >= _MOST_FAILURES:
                break
        return Looked(frozenset(done), blocked, tuple(failures))

    async def _act(self, word: _Word) -> bool | Refusal:
        """Whether a device is blocked for it now that was not before; a refusal when that could not be found out."""
        try:
            device = await self.index.by_serial(word.serial)
            known = await self.ledger.load(device) if device is not None else Snapshot()
            if device is None or not self._concerns(known, word):
                return False
            if word.of_newest and known.device is not None and word.serial != known.device.latest:
                if word.verb == "revoke":
                    await self._replaced(device, word)
                return False
            now = self.clock()
            saga = await self.revoke.begin(
                device,
                word.verb,
                word.why,
                caller=word.caller,
                comment=f"the CA has revoked the certificate {word.serial}",
                saga_id=word.saga_id,
            )
        except Conflict:
            return False  # another was faster
        except Refusal as refusal:
            return refusal
        return saga.begun >= now  # an older one is the same hold, which an operator has undone here

    async def _replaced(self, device: DeviceId, word: _Word) -> None:
        """A certificate that has a successor is written down as revoked: nobody is let in with it any more.

        But not while the device changes over. Many CAs revoke what is renewed at once, and a device whose answer was
        lost, or that is not yet let in with the new one, has nothing else: it is revoked when it gives way.
        """
        for _ in range(_ATTEMPTS):
            known = await self.ledger.load(device)
            held = known.certificate(word.serial)
            if known.device is None or held is None or held.status == "revoked":
                return
            in_use = known.device.current in ("", word.serial)
            after = replace(held, status=held.status if in_use else "revoked", revoked_by_ca=True)
            try:
                await self.ledger.commit(known, Change(known.device, (after,)))
            except StaleVersionError:
                continue
            return
        raise Unavailable("the device's record is changing too fast; try again", retry_after=5)

    def _concerns(self, known: Snapshot, word: _Word) -> bool:
        """Whether the word is news of a certificate that the device may still use."""
        held = known.certificate(word.serial)
        if known.device is None or held is None or not is_live(held, self.clock()):
            return False
        if word.issuer and held.certificate.issuer != word.issuer:
            return False  # serial numbers are unique under one CA only
        return known.device.block in word.beyond


def _on_crl(one: Revoked, issuer: str) -> _Word:
    held = one.reason is Reason.CERTIFICATE_HOLD
    return _Word(
        serial=one.serial,
        verb="hold" if held else "revoke",
        why=one.reason,
        caller="crl",
        # A hold that an operator has undone here comes again only when the CA has taken it off and set it anew.
        saga_id=f"ca-hold-{one.serial}-{one.at:%Y%m%d%H%M%S}" if held else f"ca-{one.serial}",
        beyond=(Block.NONE,) if held else (Block.NONE, Block.HOLD),
        issuer=issuer,
        of_newest=one.reason in _OF_NO_MATTER,
    )


def _on_list(serial: str, *, crl_tells: bool) -> _Word:
    return _Word(
        serial=serial,
        verb="hold" if crl_tells else "revoke",
        why=Reason.UNSPECIFIED,
        caller="digicert",
        saga_id=f"ca-listed-{serial}" if crl_tells else f"ca-{serial}",
        beyond=(Block.NONE,),
        of_newest=crl_tells,
    )
