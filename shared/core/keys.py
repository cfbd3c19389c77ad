"""Which public keys are good enough to be certified, by name: `rsa-2048`, `ec-p256`, …

`cryptography` loads RSA keys of 512 bits, with an even modulus or with e = 3; these rules are the CA/Browser Forum
Baseline Requirements 6.1.1.3, 6.1.5 and 6.1.6, as a public CA would apply them.
"""

import math
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from shared.core.errors import Malformed

# AlgorithmIdentifiers, byte for byte: explicit curve parameters and id-RSASSA-PSS keys look the same once parsed.
ALGORITHMS: Final = {
    bytes.fromhex("300d06092a864886f70d0101010500"): "rsa",
    bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"): "ec-p256",
    bytes.fromhex("301006072a8648ce3d020106052b81040022"): "ec-p384",
    bytes.fromhex("301006072a8648ce3d020106052b81040023"): "ec-p521",
    bytes.fromhex("300506032b6570"): "ed25519",
}

KNOWN: Final = ("rsa-2048", "rsa-3072", "rsa-4096", "ec-p256", "ec-p384", "ec-p521", "ed25519")

_SMALL_PRIMES: Final = tuple(
    n for n in range(3, 752, 2) if all(n % divisor for divisor in range(3, math.isqrt(n) + 1, 2))
)
_SMALL_PRODUCT: Final = math.prod(_SMALL_PRIMES)

# ROCA (CVE-2017-15361): a modulus of the broken generator is a power of 65537 modulo each of these primes.
_ROCA_PRIMES: Final = _SMALL_PRIMES[:38]
_ROCA_POWERS: Final = tuple(frozenset(pow(65537, power, prime) for power in range(prime)) for prime in _ROCA_PRIMES)

_FERMAT_ROUNDS: Final = 100
_SIEVE: Final = 16 * 9 * 5 * 7
_SQUARES: Final = frozenset(root * root % _SIEVE for root in range(_SIEVE))

type PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_CURVES: Final = {"secp256r1": "ec-p256", "secp384r1": "ec-p384", "secp521r1": "ec-p521"}


def name(key: object) -> str:
    """The name of a key's kind and size; an empty string for one that has no name here."""
    match key:
        case rsa.RSAPublicKey():
            return f"rsa-{key.key_size}"
        case ec.EllipticCurvePublicKey():
            return _CURVES.get(key.curve.name, "")
        case ed25519.Ed25519PublicKey():
            return "ed25519"
        case _:
            return ""


def check_rsa(key: rsa.RSAPublicKey) -> None:
    """Raises Malformed for an RSA key that a careful CA refuses, whatever its size."""
    numbers = key.public_numbers()
    modulus, exponent = numbers.n, numbers.e
    # BR 6.1.6: odd, and 2^16 < e < 2^256.
    if exponent % 2 == 0 or not 2**16 < exponent < 2**256:
        raise Malformed("the RSA public exponent must be odd, above 65536 and below 2^256")
    if modulus % 2 == 0 or math.gcd(modulus, _SMALL_PRODUCT) != 1:
        raise Malformed("the RSA modulus has a small factor")
    if _is_roca(modulus):
        raise Malformed("the RSA key was made by a broken generator (CVE-2017-15361)")
    if _has_close_primes(modulus):
        raise Malformed("the RSA key's primes are too close together")


def _is_roca(modulus: int) -> bool:
    return all(modulus % prime in powers for prime, powers in zip(_ROCA_PRIMES, _ROCA_POWERS, strict=True))


def _has_close_primes(modulus: int) -> bool:
    """Fermat's factorization, a hundred rounds (BR 6.1.1.3): whether a square less the modulus is a square.

    Squares leave few remainders, so all but a few rounds are decided on small numbers alone.
    """
    start = math.isqrt(modulus - 1) + 1
    first, rest = start % _SIEVE, modulus % _SIEVE
    return any(
        _is_square((start + step) ** 2 - modulus)
        for step in range(_FERMAT_ROUNDS)
        if ((first + step) ** 2 - rest) % _SIEVE in _SQUARES
    )


def _is_square(number: int) -> bool:
    return math.isqrt(number) ** 2 == number
