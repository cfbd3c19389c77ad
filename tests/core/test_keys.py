"""Which keys are good enough, by their numbers."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

from shared.core import keys
from shared.core.errors import Malformed
from tests.core import weak_keys
from tests.core.making import ec_key, ed25519_key, rsa_key


def test_kinds_of_keys_have_the_names_that_profiles_use() -> None:
    named = [
        keys.name(ec_key(1, ec.SECP256R1()).public_key()),
        keys.name(ec_key(1, ec.SECP384R1()).public_key()),
        keys.name(ec_key(1, ec.SECP521R1()).public_key()),
        keys.name(ed25519_key().public_key()),
        keys.name(rsa_key().public_key()),
    ]
    assert named == ["ec-p256", "ec-p384", "ec-p521", "ed25519", "rsa-2048"]
    assert set(named) <= set(keys.KNOWN)


def test_other_keys_have_no_name() -> None:
    assert keys.name(ec_key(1, ec.SECP256K1()).public_key()) == ""
    assert keys.name(ed448.Ed448PrivateKey.generate().public_key()) == ""
    assert isinstance(ed25519_key(), ed25519.Ed25519PrivateKey)


def test_a_key_by_a_good_generator_passes() -> None:
    keys.check_rsa(rsa_key().public_key())


@pytest.mark.parametrize("exponent", [3, 17, 65535, 2**256 + 1])
def test_exponents_outside_the_baseline_are_refused(exponent: int) -> None:
    with pytest.raises(Malformed, match="public exponent"):
        keys.check_rsa(weak_keys.public_key(weak_keys.good_modulus(), exponent))


@pytest.mark.parametrize("exponent", [65537, 2**256 - 1])
def test_exponents_inside_the_baseline_pass(exponent: int) -> None:
    keys.check_rsa(weak_keys.public_key(weak_keys.good_modulus(), exponent))


@pytest.mark.parametrize("prime", [3, 5, 167, 601, 743, 751])
def test_every_factor_below_752_is_found(prime: int) -> None:
    with pytest.raises(Malformed, match="small factor"):
        keys.check_rsa(weak_keys.public_key(weak_keys.modulus_divisible_by(prime)))


def test_a_factor_of_757_is_not_looked_for() -> None:
    keys.check_rsa(weak_keys.public_key(757 * weak_keys.without_small_factor(weak_keys.good_modulus() >> 9 | 1, 2)))


def test_an_even_modulus_is_refused() -> None:
    with pytest.raises(Malformed, match="small factor"):
        keys.check_rsa(weak_keys.public_key(weak_keys.even_modulus()))


@pytest.mark.parametrize("power", [1, 2, 1000, 65537])
def test_a_modulus_with_the_roca_fingerprint_is_refused(power: int) -> None:
    with pytest.raises(Malformed, match="CVE-2017-15361"):
        keys.check_rsa(weak_keys.public_key(weak_keys.roca_modulus(power)))


def test_a_modulus_off_the_fingerprint_at_one_prime_passes() -> None:
    """11 is a prime of which 65537 does not generate every residue: there the fingerprint can be left."""
    powers = {pow(65537, power, 11) for power in range(11)}
    off = next(residue for residue in range(1, 11) if residue not in powers)
    others = weak_keys.FINGERPRINT // 11
    start = weak_keys.roca_modulus()
    step = others * pow(others, -1, 11) % weak_keys.FINGERPRINT
    modulus = start + step * ((off - start) % 11)
    keys.check_rsa(
        weak_keys.public_key(weak_keys.without_small_factor(modulus, weak_keys.FINGERPRINT)),
    )


@pytest.mark.parametrize("apart", [2, 1000, 2**500, 2**516])
def test_close_primes_are_found(apart: int) -> None:
    with pytest.raises(Malformed, match="too close"):
        keys.check_rsa(weak_keys.public_key(weak_keys.close_factors(apart)))


def test_a_square_is_the_closest_case() -> None:
    factor = weak_keys.without_small_factor((3 << 1022) + 1, 2)
    with pytest.raises(Malformed, match="too close"):
        keys.check_rsa(weak_keys.public_key(factor * factor))


@pytest.mark.parametrize("apart", [2**518, 2**600])
def test_primes_beyond_a_hundred_rounds_pass(apart: int) -> None:
    keys.check_rsa(weak_keys.public_key(weak_keys.close_factors(apart)))
