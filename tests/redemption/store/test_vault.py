"""What is sealed opens only in its place and with its secret."""

from __future__ import annotations

import os

import pytest

from services.redemption.store.printing import Chance, Press
from services.redemption.store.vault import KEY_BYTES, NONCE_BYTES, SealBrokenError, Vault

SECRET = b"s" * 48
CODE = "0000-0000-0000-0000"


def new_key(vault: Vault, member: str = "m") -> bytes:
    return vault.seal_member_key(os.urandom(KEY_BYTES), os.urandom(NONCE_BYTES), "p", member)


def sealed_by(vault: Vault, key: bytes, program: str, member: str, voucher: str, code: str) -> bytes:
    return vault.seal(vault.opened(key, program, member), os.urandom(NONCE_BYTES), program, member, voucher, code)


def test_code_opens_as_its_own_voucher_only() -> None:
    vault = Vault(SECRET)
    key = new_key(vault)
    sealed = sealed_by(vault, key, "p", "m", "v-1", CODE)
    assert vault.open(key, "p", "m", "v-1", sealed) == CODE
    assert Vault(SECRET).open(key, "p", "m", "v-1", sealed) == CODE
    for place in (("p", "m", "v-2"), ("p", "n", "v-1"), ("q", "m", "v-1")):
        with pytest.raises(SealBrokenError):
            vault.open(key, *place, sealed)


@pytest.mark.parametrize("harm", [lambda s: s[:-1], lambda s: b"\x02" + s[1:], lambda s: s[:-1] + b"x", lambda _: b""])
def test_what_was_changed_does_not_open(harm: object) -> None:
    vault = Vault(SECRET)
    key = new_key(vault)
    sealed = sealed_by(vault, key, "p", "m", "v-1", CODE)
    assert callable(harm)
    with pytest.raises(SealBrokenError):
        vault.open(key, "p", "m", "v-1", harm(sealed))


def test_another_secret_opens_nothing() -> None:
    vault, other = Vault(SECRET), Vault(b"t" * 48)
    key = new_key(vault)
    with pytest.raises(SealBrokenError):
        other.opened(key, "p", "m")
    assert other.digest("p", CODE) != vault.digest("p", CODE)


def test_same_code_seals_differently_and_hashes_alike_within_a_program() -> None:
    vault = Vault(SECRET)
    key = new_key(vault)
    assert sealed_by(vault, key, "p", "m", "v-1", CODE) != sealed_by(vault, key, "p", "m", "v-1", CODE)
    assert vault.digest("p", CODE) == vault.digest("p", CODE) != vault.digest("q", CODE)


def test_short_secret_is_no_secret() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Vault(b"s" * 31)


def test_chance_is_never_given_twice() -> None:
    chance = Chance()
    taken = [chance.take(size) for size in (10, 12, 32) * 2_000]
    assert [len(each) for each in taken] == [10, 12, 32] * 2_000
    assert len(set(taken)) == len(taken)


def test_a_member_has_one_key_in_a_transaction_and_keeps_the_one_it_has() -> None:
    vault = Vault(SECRET)
    press = Press(vault)
    press.print("p", "m", "v-1")
    press.print("p", "m", "v-2")
    (key,) = press.new_keys.values()
    again = Press(vault)
    again.learn_keys({("p", "m"): key}, ())
    again.print("p", "m", "v-3")
    assert again.new_keys == {}
    codes = {
        vault.open(key, "p", "m", voucher, secret.sealed)
        for voucher, secret in {**press.printed, **again.printed}.items()
    }
    assert len(codes) == 3


def test_a_key_that_was_offered_counts_only_where_it_was_taken() -> None:
    vault = Vault(SECRET)
    press = Press(vault)
    taken, passed_over = press.offer_key("p", "m"), press.offer_key("p", "n")
    before = new_key(vault, "n")
    press.learn_keys({("p", "n"): before}, {("p", "m")})
    press.print("p", "m", "v-1")
    press.print("p", "n", "v-2")
    assert press.new_keys == {}
    assert vault.open(taken, "p", "m", "v-1", press.printed["v-1"].sealed)
    assert vault.open(before, "p", "n", "v-2", press.printed["v-2"].sealed)
    with pytest.raises(SealBrokenError):
        vault.open(passed_over, "p", "n", "v-2", press.printed["v-2"].sealed)
