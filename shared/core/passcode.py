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
# One of the equal choices for scrypt in OWASP's cheat sheet on password storage; 16 MiB.
_COST: Final = {"n": 2**14, "r": 8, "p": 5, "maxmem": 64 * 1024 * 1024, "dklen": 32}
# RFC 4648 §6 without the characters that people take for others, read off a label or a screen.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True)
class OneTimePasscode:
    """`burnt_by` is the claim that the passcode has led to, by its key; empty while it can still be used."""

    salt: bytes
    digest: bytes = field(repr=False)
    expires: datetime
    failures: int = 0
    burnt_by: str = ""

    def is_open(self, now: datetime) -> bool:
        """Whether it may be tried at all."""
        return now < self.expires and self.failures < MAX_FAILURES

    def burnt(self, claim_key: str) -> "OneTimePasscode":
        return self if self.burnt_by else replace(self, burnt_by=claim_key)

    def guessed(self) -> "OneTimePasscode":
        return replace(self, failures=self.failures + 1)


def passcode(random: bytes) -> str:
    """The text of a new passcode, in groups of five, from at least RANDOM_BYTES random bytes: 99 bits."""
    number, digits = int.from_bytes(random), list[str]()
    for _ in range(20):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "-".join("".join(digits[start : start + 5]) for start in range(0, 20, 5))


def digest(text: str, salt: bytes) -> bytes:
    """Slow on purpose: call it beside the event loop."""
    return hashlib.scrypt(text.encode(), salt=salt, **_COST)


def matches(kept: OneTimePasscode, text: str) -> bool:
    """Slow on purpose, and compared in constant time."""
    return hmac.compare_digest(digest(text, kept.salt), kept.digest)
