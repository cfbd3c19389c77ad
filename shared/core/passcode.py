"""One-time passcodes: each lets one device enroll once, without a factory certificate.

They are kept as a slow salted hash in the device's own record, so that the transaction that records the certificate
also burns the passcode. Until then it may be tried again: an answer can be lost. The request that burnt it may be
repeated, and gets the same certificate.
"""

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

# Who guesses gets this many tries before the operator has to make another passcode.
MAX_FAILURES: Final = 10
# How much randomness a passcode and its salt are made of.
RANDOM_BYTES: Final = 32
SALT_BYTES: Final = 16
# scrypt with n = 2**COST: one of the equal choices in OWASP's cheat sheet on password storage; 16 MiB.
COST: Final = 14
# RFC 4648 §6 without the characters that people take for others, read off a label or a screen.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class OneTimePasscode:
    """`burnt_by` is the claim that the passcode has led to, by its key; empty while it can still be used.

    `held_by` is the claim that is being worked on, until `held_until`: of two devices that come at the same time with
    the same passcode, one gets a certificate.
    """

    salt: bytes
    digest: bytes = field(repr=False)
    expires: datetime
    cost: int = COST
    failures: int = 0
    burnt_by: str = ""
    held_by: str = ""
    held_until: datetime | None = None

    def closed(self, now: datetime) -> str:
        """Why it may not be tried any more; empty while it may."""
        if now >= self.expires:
            return "the one-time passcode has expired"
        return "the one-time passcode was tried too often" if self.failures >= MAX_FAILURES else ""

    def is_held(self, claim_key: str, now: datetime) -> bool:
        """Whether another claim is being worked on."""
        return self.held_by not in ("", claim_key) and self.held_until is not None and now < self.held_until

    def held(self, claim_key: str, until: datetime) -> "OneTimePasscode":
        return replace(self, held_by=claim_key, held_until=until)

    def released(self, claim_key: str) -> "OneTimePasscode":
        return replace(self, held_by="", held_until=None) if self.held_by == claim_key else self

    def burnt(self, salt: bytes, claim_key: str) -> "OneTimePasscode":
        """Once it has led to a certificate; `salt` is that of the passcode that was shown, which may be an earlier."""
        return self if self.burnt_by or self.salt != salt else replace(self, burnt_by=claim_key)

    def tried(self) -> "OneTimePasscode":
        """A try counts as a wrong one until it has turned out to be right."""
        return replace(self, failures=self.failures + 1)

    def given_back(self) -> "OneTimePasscode":
        """The try was not compared: it does not count."""
        return replace(self, failures=max(0, self.failures - 1))

    def known(self) -> "OneTimePasscode":
        """The try was right: none before it counts any more, nor those that were right and could not be given back."""
        return replace(self, failures=0)


def passcode(random: bytes) -> str:
    """The text of a new passcode, in groups of five, from at least RANDOM_BYTES random bytes: 99 bits."""
    number, digits = int.from_bytes(random), list[str]()
    for _ in range(20):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "-".join("".join(digits[start : start + 5]) for start in range(0, 20, 5))


def digest(text: str, salt: bytes, cost: int) -> bytes:
    """Slow on purpose: call it beside the event loop."""
    return hashlib.scrypt(text.encode(), salt=salt, n=2**cost, r=8, p=5, maxmem=64 * 1024 * 1024, dklen=32)


def matches(kept: OneTimePasscode, text: str) -> bool:
    """Slow on purpose, and compared in constant time."""
    return hmac.compare_digest(digest(text, kept.salt, kept.cost), kept.digest)
