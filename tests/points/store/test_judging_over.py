"""Judgements that rank the members of another program, against a real Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.points.store.ledger import Ledger
from services.points.testing import note
from tests.points.judged import Judged
from tests.points.stored import findings
from tests.points.till import document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

THERE, HERE = "clubcard", "clubcard-plus"
JOINED = datetime(2023, 1, 10, 12, tzinfo=UTC)
NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
NEXT_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class Shops(Judged):
    """The Clubcard, whose members spend, and the Plus, to which they are invited; both as they are shipped."""

    def __init__(self, database: Database, *, batch_max: int = 500, there: str | None = THERE) -> None:
        super().__init__(database, document(HERE), *([document(there)] if there else []), batch_max=batch_max)

    async def enrol(self, program: str, *members: str, at: datetime = JOINED, **fields: Any) -> None:
        await self.send(*(enrolment(program, member, at, **fields) for member in members))

    async def spend(self, member: str, pounds: int, year: int = 2024) -> None:
        """Spend so many pounds with the Clubcard, something of it in each of the last three quarters."""
        for month, amount in ((5, 100), (8, 100), (11, pounds * 100 - 200)):
            self.numbers += 1
            at = datetime(year, month, 15, 12, tzinfo=UTC)
            await self.send(report(THERE, member, purchase(f"{member}-{self.numbers}", amount, at), at))

    async def join(self, member: str, at: datetime) -> dict[str, Any]:
        activity = {"id": f"joins-{member}", "type": "plus_opened", "occurred_at": at.isoformat()}
        return (await self.send(report(HERE, member, activity, at)))[-1]

    async def left_over(self) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval("select count(*) from measured"))


async def test_the_place_is_counted_over_the_members_of_the_other_program(
    database: Database, database_urls: DatabaseUrls
) -> None:
    """CP-1: of ten there the second place is £4,800, and two have that; here only some of them have an account."""
    shops = Shops(database)
    pounds = (5200, 4800, 4800, 3900, 3100, 2900, 2500, 2000, 1500, 1000)
    for number, each in enumerate(pounds):
        await shops.enrol(THERE, f"card-{number}", person=f"p-{number}")
        await shops.spend(f"card-{number}", each)
    # p-1 has no account here. Who is third and tenth there is first and second of those who are here.
    for number in (0, 2, 3, 9):
        await shops.enrol(HERE, f"plus-{number}", person=f"p-{number}")
    heard = await shops.judged(NEW_YEAR)
    assert [(one["member"], one["entered"]) for one in heard] == [("plus-0", ["invited"]), ("plus-2", ["invited"])]
    assert heard[0]["segments"] == [{"name": "invited", "primary": False, "since": "2025-01-01", "until": "2025-03-01"}]
    assert await shops.left_over() == 0
    # Nothing is changed where they are ranked.
    async with database.connection() as connection:
        kinds = "select count(*) from journals where program = $1 and kind not in ('enrolment', 'activity')"
        assert await connection.fetchval(kinds, THERE) == 0
        assert await connection.fetchval("select count(*) from judgements where program = $1", THERE) == 0
    assert await shops.judged(NEW_YEAR) == []
    assert not await findings(database_urls)


@pytest.mark.parametrize(("size", "invited"), [(11, 2), (4, 1), (1, 1)])
async def test_the_place_is_rounded_down_and_at_least_the_first(database: Database, size: int, invited: int) -> None:
    """CP-2; without a person anywhere, a member is the one with the same id."""
    shops = Shops(database)
    for number in range(size):
        await shops.enrol(THERE, f"m-{number:02}")
        await shops.enrol(HERE, f"m-{number:02}")
        await shops.spend(f"m-{number:02}", 1000 - 10 * number)
    await shops.judged(NEW_YEAR)
    assert await shops.belong("invited") == [f"m-{number:02}" for number in range(invited)]


async def test_holders_are_checked_each_year_over_the_other_program(
    database: Database, database_urls: DatabaseUrls
) -> None:
    """CP-4: of ten without ties the holder who is third stays, the fourth leaves."""
    shops = Shops(database)
    for number in range(10):
        await shops.enrol(THERE, f"m-{number}")
        await shops.spend(f"m-{number}", 5000 - 100 * number)
    for number in range(5):
        await shops.enrol(HERE, f"m-{number}")
    await shops.judged(NEW_YEAR)
    for member in ("m-0", "m-1"):
        said = await shops.join(member, NEW_YEAR + timedelta(days=59))
        assert (said["entered"], said["left"], said["reason"]) == (["plus"], ["invited"], "joined")
    pounds = {"m-2": 9000, "m-3": 8000, "m-0": 7000, "m-1": 6000, "m-4": 5000}
    for number in range(10):
        await shops.spend(f"m-{number}", pounds.get(f"m-{number}", 1000), 2025)
    await shops.judged(NEXT_YEAR)
    assert await shops.belong("plus") == ["m-0"]
    assert await shops.belong("invited") == ["m-2", "m-3"]
    assert not await findings(database_urls)


async def test_how_a_human_is_known_in_both(database: Database, database_urls: DatabaseUrls) -> None:
    """By the person; else by the same id, unless two persons are said. Of two accounts the better one counts, once."""
    shops = Shops(database)
    for member, person, pounds in (
        ("two-a", "p-two", 900), ("two-b", "p-two", 100), ("same", None, 900), ("said-there", "p-there", 900),
        ("said-here", None, 900), ("others", "p-one", 900), *((f"low-{each}", None, 10) for each in range(20)),
    ):  # fmt: skip
        await shops.enrol(THERE, member, person=person)
        await shops.spend(member, pounds)
    for member, person in (
        ("plus-two", "p-two"), ("same", None), ("said-there", None), ("said-here", "p-here"), ("others", "p-another"),
        ("two-b", None), ("nobody", "p-nobody"),
    ):  # fmt: skip
        await shops.enrol(HERE, member, person=person)
    await shops.judged(NEW_YEAR)
    assert await shops.belong("invited") == ["plus-two", "said-here", "said-there", "same", "two-b"]
    async with database.connection() as connection:
        cuts = await connection.fetchval("select convert_from(cuts, 'utf8') from judgements where program = $1", HERE)
    assert '"size":25,' in cuts
    assert not await findings(database_urls)


async def test_who_comes_later_is_invited_by_the_next_judgement(database: Database) -> None:
    shops = Shops(database)
    for member in ("m-1", "m-2"):
        await shops.enrol(THERE, member)
        await shops.spend(member, 900 if member == "m-1" else 10)
    await shops.enrol(HERE, "m-2")
    await shops.enrol(HERE, "m-1", at=NEW_YEAR + timedelta(hours=1))
    assert await shops.judged(NEW_YEAR + timedelta(days=1)) == []
    await shops.spend("m-1", 900, 2025)
    heard = await shops.judged(NEXT_YEAR)
    assert [(one["member"], one["entered"]) for one in heard] == [("m-1", ["invited"])]


async def test_who_is_closed_there_is_not_ranked(database: Database) -> None:
    shops = Shops(database)
    for member, pounds in (("m-1", 900), ("m-2", 800)):
        await shops.enrol(THERE, member)
        await shops.enrol(HERE, member)
        await shops.spend(member, pounds)
    closing = {"at": NEW_YEAR, "cause": {"kind": "request", "id": "r"}, "change": "c", "versions": {"program": 1}}
    await shops.send(note("member.close_requested.v1", THERE, "m-1", **closing))
    await shops.judged(NEW_YEAR)
    assert await shops.belong("invited") == ["m-2"]


async def test_in_small_steps_it_comes_to_the_same(database: Database, database_urls: DatabaseUrls) -> None:
    """Stopped after every step, and some steps lost: nobody twice, nobody missed, nothing left over."""
    shops = Shops(database, batch_max=3)
    for number in range(12):
        await shops.enrol(THERE, f"card-{number:02}", person=f"p-{number}")
        await shops.spend(f"card-{number:02}", 1000 - 10 * number)
        await shops.enrol(HERE, f"plus-{11 - number:02}", person=f"p-{number}")
    heard: list[dict[str, Any]] = []
    states: set[str] = set()
    for number in range(2000):
        await shops.step(NEW_YEAR, dies=number % 2 == 0)
        more, said = await shops.step(NEW_YEAR)
        heard += said
        async with database.connection() as connection:
            states |= {row["state"] for row in await connection.fetch("select state from judgements")}
        assert not await findings(database_urls)
        if not more:
            break
    else:
        raise AssertionError("the judgement never ended")
    assert [one["member"] for one in heard if "invited" in one["entered"]] == ["plus-10", "plus-11"]
    assert states == {"measuring", "ranking", "judging", "clearing", "done"}
    assert await shops.left_over() == 0


async def test_without_the_other_program_nobody_enters_and_nobody_leaves(database: Database) -> None:
    whole = Shops(database)
    await whole.enrol(THERE, "m-1")
    await whole.enrol(HERE, "m-1", "m-2")
    await whole.spend("m-1", 900)
    await whole.judged(NEW_YEAR)
    await whole.join("m-1", NEW_YEAR + timedelta(days=1))
    alone = Shops(database, there=None)
    with capture_logs() as logs:
        assert await alone.judged(NEXT_YEAR) == []
    said = [(each["segment"], each["over"], each["reason"]) for each in logs if "over" in each]
    assert said == [("plus", THERE, "unknown_program"), ("invited", THERE, "unknown_program")]
    assert await alone.belong("plus") == ["m-1"]
    assert await alone.left_over() == 0


async def test_what_the_other_program_does_not_count_by_day_is_not_ranked(database: Database) -> None:
    shops = Shops(database, there=None)
    shops.programs.publish(document(THERE, segments=[]))
    await shops.enrol(THERE, "m-1")
    await shops.enrol(HERE, "m-1")
    await shops.spend("m-1", 900)
    async with database.transaction() as connection:
        await Ledger(connection).begin_judgement(HERE, NEW_YEAR)
    with capture_logs() as logs:
        assert await shops.judged(NEW_YEAR) == []
    assert {each["reason"] for each in logs if "over" in each} == {"not_counted"}


async def test_before_there_is_a_member_here_nothing_is_judged(database: Database) -> None:
    shops = Shops(database)
    await shops.enrol(THERE, "m-1")
    await shops.spend("m-1", 900)
    assert await shops.judged(NEXT_YEAR) == []
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from judgements") == 0
