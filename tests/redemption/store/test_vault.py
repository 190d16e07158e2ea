"""What is sealed opens only in its place and with its secret."""

from __future__ import annotations

import pytest

from services.redemption.store.vault import SealBrokenError, Vault

SECRET = b"s" * 48
CODE = "0000-0000-0000-0000"


def test_code_opens_as_its_own_voucher_only() -> None:
    vault = Vault(SECRET)
    key = vault.new_member_key("p", "m")
    sealed = vault.seal(key, "p", "m", "v-1", CODE)
    assert vault.open(key, "p", "m", "v-1", sealed) == CODE
    assert Vault(SECRET).open(key, "p", "m", "v-1", sealed) == CODE
    for place in (("p", "m", "v-2"), ("p", "n", "v-1"), ("q", "m", "v-1")):
        with pytest.raises(SealBrokenError):
            vault.open(key, *place, sealed)


@pytest.mark.parametrize("harm", [lambda s: s[:-1], lambda s: b"\x02" + s[1:], lambda s: s[:-1] + b"x", lambda _: b""])
def test_what_was_changed_does_not_open(harm: object) -> None:
    vault = Vault(SECRET)
    key = vault.new_member_key("p", "m")
    sealed = vault.seal(key, "p", "m", "v-1", CODE)
    assert callable(harm)
    with pytest.raises(SealBrokenError):
        vault.open(key, "p", "m", "v-1", harm(sealed))


def test_another_secret_opens_nothing() -> None:
    vault, other = Vault(SECRET), Vault(b"t" * 48)
    key = vault.new_member_key("p", "m")
    with pytest.raises(SealBrokenError):
        other.try_member_key(key, "p", "m")
    assert other.digest("p", CODE) != vault.digest("p", CODE)


def test_same_code_seals_differently_and_hashes_alike_within_a_program() -> None:
    vault = Vault(SECRET)
    key = vault.new_member_key("p", "m")
    assert vault.seal(key, "p", "m", "v-1", CODE) != vault.seal(key, "p", "m", "v-1", CODE)
    assert vault.digest("p", CODE) == vault.digest("p", CODE) != vault.digest("q", CODE)


def test_short_secret_is_no_secret() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Vault(b"s" * 31)
