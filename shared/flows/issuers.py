"""Issuing CAs beyond the moment: under which of them certificates are alive, and those that a CA no longer names."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import batched
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core.certificate import Certificate, is_issued_by
from shared.core.chain import check_chain
from shared.core.errors import UpstreamRefused
from shared.core.issuer import named_issuer, names_of
from shared.core.profile import Label
from shared.flows.ports.clock import Clock
from shared.flows.ports.index import Watermarks
from shared.flows.ports.issuance import ChainSource

_AT_ONCE: Final = 32


@dataclass(frozen=True)
class Issuers:
    """A row for each issuing CA and day on which a certificate of it ends, and one for each month of such days.

    Writing one twice does no harm, so nothing is counted and nothing can be counted wrong, whoever writes at once. A CA
    has live certificates while there is a row of today or later; a revoked one counts until its end. `noted` spares
    this process the same rows.
    """

    watermarks: Watermarks
    clock: Clock
    noted: set[str] = field(default_factory=set)

    async def note(self, issued: Certificate) -> None:
        """To be called before a certificate is recorded, or its CA could leave while it lives. Raises Unavailable."""
        issuer = named_issuer(x509.load_der_x509_certificate(issued.der))
        for name in (_row(issuer, f"{issued.not_after:%Y-%m-%d}"), _row(issuer, f"{issued.not_after:%Y-%m}")):
            if name not in self.noted:
                await self.watermarks.put(name, "1")
                self.noted.add(name)

    async def has_live(self, authority: x509.Certificate) -> bool:
        """Whether a certificate of this CA may still be alive. Raises Unavailable."""
        today, end = self.clock().date(), authority.not_valid_after_utc.date()
        days = [today + timedelta(days=after) for after in range((end - today).days + 1)]
        this_month = [f"{day:%Y-%m-%d}" for day in days if (day.year, day.month) == (today.year, today.month)]
        later = list(dict.fromkeys(f"{day:%Y-%m}" for day in days))[1:]
        rows = [_row(name, when) for when in (*later, *this_month) for name in names_of(authority)]
        for some in batched(rows, _AT_ONCE, strict=False):
            if any(await asyncio.gather(*(self.watermarks.get(row) for row in some))):
                return True
        return False


def _row(issuer: str, when: str) -> str:
    return f"issued-{issuer}-{when}"


@dataclass(frozen=True)
class RememberedChain:
    """A label's chain source that still names the issuing CAs it has named before, until they are forgotten.

    While an issuing CA is replaced, devices must find both in `cacerts`, and certificates of both renew themselves;
    whether DigiCert ONE goes on naming the old one is not known.
    """

    label: Label
    source: ChainSource
    watermarks: Watermarks
    clock: Clock

    async def fetch(self) -> list[x509.Certificate]:
        """The source's chain and what it no longer names. Raises what the source raises, UpstreamRefused, Unavailable.

        What stands in storage is not trusted by itself: a CA that is named today must have signed it.
        """
        named = check_chain(await self.source.fetch())
        remembered = await self._remembered()
        old = [one for one in remembered if one not in named and self._fits(one, named)]
        below = [one for one in named if one.issuer != one.subject]
        if any(one not in remembered for one in below):
            await self._keep([*below, *old])
        return [*named, *old]

    async def forget(self, authority: x509.Certificate) -> None:
        """It has no live certificates any more."""
        remembered = await self._remembered()
        if authority in remembered:
            await self._keep([one for one in remembered if one != authority])

    async def _remembered(self) -> list[x509.Certificate]:
        text = await self.watermarks.get(self._name)
        with contextlib.suppress(ValueError):
            return x509.load_pem_x509_certificates(text.encode())
        return []

    async def _keep(self, authorities: list[x509.Certificate]) -> None:
        text = "".join(one.public_bytes(Encoding.PEM).decode() for one in authorities)
        await self.watermarks.put(self._name, text)

    def _fits(self, one: x509.Certificate, named: tuple[x509.Certificate, ...]) -> bool:
        with contextlib.suppress(UpstreamRefused):
            check_chain((*named, one))
            return is_issued_by(one, named) and self.clock() <= one.not_valid_after_utc
        return False

    @property
    def _name(self) -> str:
        return f"chain-{self.label}"
