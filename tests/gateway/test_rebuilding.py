"""Rows are written again where they stand no further than what is told; of others the owner is asked twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from laurel.io.database import Database
from services.gateway.details import DetailSeen
from services.gateway.naming import ACTIVITY, HOLD, REDEMPTION, Correlation, RequestKey
from services.gateway.recalling import ActivityTold, MemberTold, RedemptionTold, WalletTold, read_line
from services.gateway.store.rebuilding import activities, members, operations, redemptions
from services.gateway.store.rebuilding.standing import Row, Stands, Written, differs
from services.gateway.told.telling import OperationSeen, Outcome, Place, RedemptionSeen, RewardSeen

pytestmark = pytest.mark.anyio

AT = datetime(2026, 1, 1, tzinfo=UTC)
ROW = ("members", "p", "m")


def told(sequence: int, version: int, balances: bytes, *, epoch: int = 1, **wallet: Any) -> MemberTold:
    place = Place(epoch, sequence)
    known = {"status": "active", "enrolled_at": AT, **wallet}
    return MemberTold("p", "m", f"laurel/points/{epoch}", place, balances, wallet=WalletTold(version=version, **known))


async def write(database: Database, each: MemberTold, known: Mapping[Row, Stands] | None = None) -> Written:
    async with database.transaction() as connection:
        return await members.write(connection, [each], known or {})


async def stands(database: Database) -> tuple[Any, ...]:
    async with database.connection() as connection:
        row: Any = await connection.fetchrow("select balances, version, epoch, sequence from members")
    return tuple(row)


async def run(database: Database, statement: str, *arguments: Any) -> None:
    async with database.connection() as connection:
        await connection.execute(statement, *arguments)


async def test_a_row_that_has_heard_more_is_left(database: Database) -> None:
    """An event came after the owner was asked: what the owner told is older."""
    assert (await write(database, told(5, 5, b"[5]"))).mended == 1
    await run(database, "update members set balances = '[6]', version = 6, sequence = 6")
    written = await write(database, told(5, 5, b"[5]"))
    assert (written.mended, written.ahead) == (0, {ROW: (1, 6, 6, 1, 5)})
    assert await stands(database) == (b"[6]", 6, 1, 6)
    # Asked once more, the owner has come as far, and the row is what it tells.
    assert (await write(database, told(6, 6, b"[6]"), written.ahead)).mended == 0
    # An event of another's told how this wallet stands, before its own did: only the version is ahead.
    await run(database, "update members set balances = '[7]', version = 7")
    assert (await write(database, told(6, 6, b"[6]"))).ahead == {ROW: (1, 6, 7, 1, 5)}
    assert await stands(database) == (b"[7]", 7, 1, 6)


async def test_a_row_that_claims_what_was_never_said_is_written(database: Database) -> None:
    await write(database, told(5, 5, b"[5]"))
    await run(database, "update members set balances = '[]', version = 99, sequence = 99, merged_sequence = 99")
    first = await write(database, told(5, 5, b"[5]"))
    assert first.ahead == {ROW: (1, 99, 99, 1, 99)}
    # It has moved since it was seen, so somebody lives by it.
    await run(database, "update members set sequence = 100")
    again = await write(database, told(6, 6, b"[6]"), first.ahead)
    assert (again.mended, again.ahead) == (0, {ROW: (1, 100, 99, 1, 99)})
    assert (await write(database, told(6, 6, b"[6]"), again.ahead)).mended == 1
    assert await stands(database) == (b"[6]", 6, 1, 6)


async def test_a_higher_epoch_is_newer_whatever_the_number(database: Database) -> None:
    await write(database, told(50, 50, b"[50]"))
    assert (await write(database, told(3, 40, b"[40]", epoch=2))).mended == 1
    assert await stands(database) == (b"[40]", 40, 2, 3)
    assert (await write(database, told(60, 60, b"[60]"))).mended == 0


async def test_who_was_erased_stays_forgotten(database: Database) -> None:
    """Journals still say who it was; a profile that is told again is not kept."""
    name = DetailSeen("p", "m", "profile", b"", 1, 3)
    lines: list[dict[str, Any]] = [
        {"type": "member.changed.v1", "data": {"change": "c", "person": "p-1", "attributes": {"a": 1}, "version": 2}},
        {"wallet": {"status": "erased", "version": 3, "enrolled_at": AT}},
    ]
    erased = MemberTold("p", "m", "laurel/points/1", Place(1, 3))
    for line in lines:
        whole = {"member": "m", "contains": {"t": {"source": "laurel/points/1", "sequence": 3}}, **line}
        erased.hear(read_line(msgspec.json.encode(whole)))
    assert (await write(database, erased)).ahead == {}
    async with database.connection() as connection:
        row: Any = await connection.fetchrow("select status, person, attributes, key from members")
        bodies = await connection.fetch("select body from member_details where detail = $1", name.detail)
    assert tuple(row) == ("erased", None, b"{}", None)
    assert [bytes(each["body"]) for each in bodies] == [b'{"person":null,"attributes":{}}']


async def test_a_detail_that_nobody_told_of_goes(database: Database) -> None:
    each = told(5, 5, b"[]")
    each.details["segments"] = DetailSeen("p", "m", "segments", b'["a"]', 1, 5)
    await write(database, each)
    insert = "insert into member_details values ('p', 'm', $1, '[]', 1, $2)"
    await run(database, insert, "counter/old/point/", 5)
    await run(database, insert, "counter/new/point/", 6)
    written = await write(database, each)
    assert (written.mended, written.ahead) == (1, {("details", "p", "m", "counter/new/point/"): (1, 6)})
    async with database.connection() as connection:
        found = await connection.fetch("select detail from member_details order by detail")
    assert [row["detail"] for row in found] == ["counter/new/point/", "segments"]


REQUEST = """
    insert into requests (program, kind, partner, id, attempt, hash, state, member, subject, outcome, created_at)
    values ('p', $1, 'acme', $2, 1, 'h', $3, $4, $5, $6, $7)
"""


def became(state: str, body: bytes, code: str | None = None) -> ActivityTold:
    correlation = Correlation(RequestKey("p", ACTIVITY, "acme", "a-1"), 1)
    return ActivityTold(Outcome(correlation, state, code, body), "m", "h")


async def answer(database: Database) -> tuple[Any, ...]:
    async with database.connection() as connection:
        row: Any = await connection.fetchrow("select state, member, outcome from requests where id = 'a-1'")
    return tuple(row)


async def test_what_is_pending_is_left_to_the_event_that_is_on_its_way(database: Database) -> None:
    """It is counted to its file by whoever hears that."""
    await run(database, REQUEST, ACTIVITY, "a-1", "pending", "m", None, None, AT)

    async def mend(*, is_heard: bool) -> int:
        async with database.transaction() as connection:
            return (await activities.write(connection, [became("posted", b"{1}")], {"m": is_heard}, AT)).mended

    assert await mend(is_heard=False) == 0
    assert await answer(database) == ("pending", "m", None)
    # The event was heard before, so nobody else will answer.
    assert await mend(is_heard=True) == 1
    assert await answer(database) == ("posted", "m", b"{1}")
    assert await mend(is_heard=True) == 0


async def test_a_purchase_that_nobody_claimed_is_not_refused_with_a_claim(database: Database) -> None:
    await run(database, REQUEST, ACTIVITY, "a-1", "posted", None, None, b"{}", AT)
    async with database.transaction() as connection:
        refused = await activities.write(connection, [became("refused", b"{0}", "claim_too_late")], {"m": True}, AT)
        assert (refused.mended, await answer(database)) == (0, ("posted", None, b"{}"))
        await activities.write(connection, [became("posted", b"{1}")], {"m": True}, AT)
    assert await answer(database) == ("posted", "m", b"{1}")


async def test_a_redemption_that_is_asked_for_again_is_left_to_its_answer(database: Database) -> None:
    await run(database, REQUEST, REDEMPTION, "k-1", "pending", "m", "r-1", None, AT)
    async with database.transaction() as connection:
        restored = await redemptions.restore(connection, program="p", after=("", ""))
        assert restored == (("acme", "k-1"), 1)
        assert await redemptions.restore(connection, program="p", after=restored.after) is None
    seen = RedemptionTold(RedemptionSeen("p", "r-1", "refused", b"{0}", Place(1, 5)), "m", "off")

    async def mend() -> tuple[int, str]:
        async with database.transaction() as connection:
            written = await redemptions.write(connection, [seen], {})
            return written.mended, await connection.fetchval("select state from redemptions")

    assert await mend() == (0, "requested")
    await run(database, "update requests set state = 'freed'")
    assert await mend() == (1, "refused")


async def test_operations_and_rewards_go_by_the_same_rule(database: Database) -> None:
    await run(database, REQUEST, HOLD, "k-1", "posted", "m", "h-1", b"{}", AT)
    async with database.transaction() as connection:
        await operations.restore(connection, program="p", kind=HOLD, after=("", ""))
    hold = OperationSeen("p", HOLD, "h-1", "held", b"{5}", Place(1, 5))
    reward = RewardSeen("p", "off", b"{5}", Place(1, 5))

    async def mend(known: Mapping[Row, Stands]) -> tuple[int, dict[Row, Stands]]:
        async with database.transaction() as connection:
            one = await operations.write(connection, [hold], known)
            two = await redemptions.write_rewards(connection, "p", Place(1, 5), [(reward, AT)], known)
        return one.mended + two.mended, {**one.ahead, **two.ahead}

    assert await mend({}) == (2, {})
    assert await mend({}) == (0, {})
    await run(database, "update operations set body = null, sequence = 9")
    await run(database, "update rewards set document = '', sequence = 9")
    ahead = {("operations", "p", HOLD, "h-1"): (1, 9), ("rewards", "p", "off"): (1, 9)}
    assert await mend({}) == (0, ahead)
    assert await mend(ahead) == (2, {})
    await run(database, "insert into rewards values ('p', 'never', '', 1, 2, $1)", AT)
    assert await mend({}) == (1, {})


@pytest.mark.parametrize(
    ("body", "again", "is_other"),
    [
        (b'{"id":"r","told_in":{"member":"m","source":"s","sequence":3}}', b'{"id":"r"}', True),
        (
            b'{"id":"r","told_in":{"member":"m","source":"s","sequence":3}}',
            b'{"id":"r","told_in":{"member":"m","source":"s","sequence":9}}',
            False,
        ),
        (b'{"id":"r","next_expiry":null}', b'{"id":"r","next_expiry":{"on":"2026-01-01"}}', False),
        (b'{"id":"r"}', b'{"id":"q"}', True),
        (None, b"{}", True),
    ],
)
def test_where_an_answer_was_told_is_no_difference(body: bytes | None, again: bytes, *, is_other: bool) -> None:
    assert differs(body, again) is is_other
