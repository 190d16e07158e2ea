"""What is sealed opens in its place only, and passes from one secret to another without being touched."""

from __future__ import annotations

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.io.sealing import seal_again, service_key
from laurel.io.vault import SealBrokenError, Vault

OLD, NEW = b"o" * 48, b"n" * 48


def vault(secret: bytes, *before: bytes) -> Vault:
    return Vault(secret, before, purpose=b"test")


def test_a_text_opens_as_what_it_is_and_nothing_else() -> None:
    here = vault(OLD)
    key = here.new_key("p", "m")
    sealed = here.seal(key, ("p", "m"), ("note", "1"), "words")
    assert here.open(key, ("p", "m"), ("note", "1"), sealed) == "words"
    for owner, what in ((("p", "m"), ("note", "2")), (("p", "n"), ("note", "1"))):
        with pytest.raises(SealBrokenError):
            here.open(key, owner, what, sealed)


def test_a_new_secret_opens_what_the_old_one_sealed_and_seals_by_itself() -> None:
    key = vault(OLD).new_key("p", "m")
    sealed = vault(OLD).seal(key, ("p", "m"), ("note",), "words")
    both = vault(NEW, OLD)
    assert both.open(key, ("p", "m"), ("note",), sealed) == "words"
    assert not both.is_current(key)
    anew = both.seal_again(key, "p", "m")
    assert both.is_current(anew)
    assert vault(NEW).open(anew, ("p", "m"), ("note",), sealed) == "words", "what lies under the key is not touched"
    with pytest.raises(SealBrokenError, match="not known here"):
        vault(OLD).open_key(anew, "p", "m")
    with pytest.raises(SealBrokenError, match=vault(OLD).key_id):
        vault(NEW).open_key(key, "p", "m")


def test_a_key_from_before_there_were_ids_opens_too() -> None:
    key = vault(OLD).new_key("p", "m")
    older = b"\x01" + key[9:]
    assert vault(NEW, OLD).open_key(older, "p", "m") == vault(OLD).open_key(key, "p", "m")
    with pytest.raises(SealBrokenError):
        vault(NEW).open_key(older, "p", "m")


def test_the_same_secret_for_another_purpose_opens_nothing() -> None:
    key = vault(OLD).new_key("p", "m")
    with pytest.raises(SealBrokenError):
        Vault(OLD, purpose=b"another").open_key(key, "p", "m")


@pytest.mark.anyio
async def test_all_keys_pass_to_the_new_secret(database_urls: DatabaseUrls) -> None:
    database = await Database.connect(database_urls.gateway, schema="gateway", application="test")
    try:
        async with database.transaction() as connection:
            assert await service_key(connection, vault(OLD), "look-up", b"first") == b"first"
            assert await service_key(connection, vault(OLD), "look-up", b"second") == b"first", "it never changes"
            for number in range(2500):
                key = vault(OLD).new_key("p", f"m-{number:04}") if number % 2 else None
                await connection.execute(
                    "insert into members (program, member, status, enrolled_at, attributes, created_at, key) "
                    "values ('p', $1, 'active', now(), '{}', now(), $2)",
                    f"m-{number:04}",
                    key,
                )
        both = vault(NEW, OLD)
        assert [count async for count in seal_again(database, both)] == [1, 500, 500, 250]
        assert [count async for count in seal_again(database, both)] == [0, 0, 0, 0]
        async with database.transaction() as connection:
            rows = await connection.fetch("select member, key from members where key is not null")
            assert len(rows) == 1250
            assert all(len(vault(NEW).open_key(key, "p", member)) == 32 for member, key in rows)
            assert await service_key(connection, vault(NEW), "look-up", b"third") == b"first"
    finally:
        await database.close()
