"""After a restored backup, numbers that were given out before are not taken for repeats."""

from __future__ import annotations

import pytest

from laurel.io.database import Database
from laurel.io.epochs import raise_epoch
from laurel.io.outbox import Outbox
from laurel.io.saying import PROGRAMS, Saying
from tests.io.conftest import NOON, rows, say

pytestmark = pytest.mark.anyio


async def test_a_new_epoch_counts_every_key_from_one_again(speaker_database: Database) -> None:
    outbox = await Outbox.load("speaker", speaker_database)
    assert outbox.epoch == 1
    async with speaker_database.transaction() as connection:
        await outbox.add(connection, [say("a", 1)])
        await outbox.add(connection, [say("a", 2), say("b", 1), say("a", 3)])
        await outbox.add(
            connection, [Saying(PROGRAMS, "grocery", "", "program.published.v1", b"p", NOON, key="grocery:1")]
        )
        await connection.execute(
            "delete from outbox_open where work in "
            "(select work from outbox where stream <> '' or (member = 'a' and number = 1))"
        )
    async with speaker_database.transaction() as connection:
        assert await raise_epoch(connection) == 2
    async with speaker_database.transaction() as connection:
        again = await Outbox.load("speaker", speaker_database)
        assert again.epoch == 2
        await again.add(connection, [say("a", 4), say("b", 2)])
    assert await rows(
        speaker_database,
        "select member, stream, number, convert_from(payload, 'utf8') from outbox join outbox_open using (work) "
        "order by member, stream, number",
    ) == [
        ("", "programs", 1, "p"),
        ("a", "", 1, "2"),
        ("a", "", 2, "3"),
        ("a", "", 3, "4"),
        ("b", "", 1, "1"),
        ("b", "", 2, "2"),
    ]
