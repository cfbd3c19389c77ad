"""RSA public keys that no careful CA certifies, made by arithmetic."""

import functools
import math

from cryptography.hazmat.primitives.asymmetric import rsa

from tests.core.making import rsa_key

SMALL_PRIMES = [n for n in range(3, 752) if all(n % divisor for divisor in range(2, n))]
# The paper on CVE-2017-15361 (Nemec et al., CCS 2017): for keys of 2048 bits the primorial goes up to 701, and the
# fingerprint asks for the primes up to 167.
FINGERPRINT = math.prod(prime for prime in SMALL_PRIMES if prime <= 167)


def good_modulus() -> int:
    return rsa_key().public_key().public_numbers().n


def of_bits(bits: int) -> int:
    """An odd number of that many bits."""
    return (1 << bits) - 1


def even_modulus() -> int:
    return good_modulus() - 1


def modulus_divisible_by(prime: int) -> int:
    """Of 2048 bits, odd."""
    return (1 << 2047) // prime * prime + prime * (2 if ((1 << 2047) // prime) % 2 else 1)


def without_small_factor(start: int, step: int) -> int:
    """The first of start, start + step, … that is odd and has no factor below 752."""
    number = start
    while number % 2 == 0 or math.gcd(number, math.prod(SMALL_PRIMES)) != 1:
        number += step
    return number


@functools.cache
def roca_modulus(power: int = 7) -> int:
    """Of 2048 bits, and a power of 65537 modulo each prime up to 167."""
    base = (1 << 2047) // FINGERPRINT * FINGERPRINT + FINGERPRINT + pow(65537, power, FINGERPRINT)
    return without_small_factor(base, FINGERPRINT)


@functools.cache
def close_factors(apart: int) -> int:
    """A product of 2048 bits of two factors, the second the first fit one `apart` above the other."""
    first = without_small_factor((3 << 1022) + 12345, 2)
    return first * without_small_factor(first + apart, 2)


def public_key(modulus: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()
