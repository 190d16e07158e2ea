"""Judgements of all members against a real Postgres: whole, in any steps, once, and provable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import ProgramDocument, dump_program
from services.points.store.ledger import Ledger
from services.points.testing import note
from tests.points.judged import Judged
from tests.points.stored import findings
from tests.points.till import document, enrolment, purchase, report

pytestmark = pytest.mark.anyio

PROGRAM = "clubcard"
JOINED = datetime(2023, 1, 10, 12, tzinfo=UTC)
NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
SPRING, SUMMER, AUTUMN = (datetime(2024, month, 15, 12, tzinfo=UTC) for month in (5, 8, 11))


class Shop(Judged):
    """A program's members, and a judge who comes when told."""

    def __init__(self, database: Database, *, batch_max: int = 500, **changes: Any) -> None:
        super().__init__(database, document(PROGRAM, **changes), batch_max=batch_max)

    async def enrol(self, *members: str) -> None:
        await self.send(*(enrolment(PROGRAM, member, JOINED) for member in members))

    async def buy(self, member: str, amount: int, at: datetime, **fields: Any) -> dict[str, Any]:
        self.numbers += 1
        name = fields.pop("id_", f"{member}-{self.numbers}")
        return (await self.send(report(PROGRAM, member, purchase(name, amount, at, **fields), at)))[0]

    async def regular(self, member: str, pounds: int) -> None:
        """Spend so many pounds in the year before, something of it in each of the last three quarters."""
        await self.enrol(member)
        for at in (SPRING, SUMMER):
            await self.buy(member, 100, at)
        await self.buy(member, pounds * 100 - 200, AUTUMN)

    async def join(self, member: str, at: datetime) -> dict[str, Any]:
        activity = {"id": f"joins-{member}", "type": "plus_opened", "occurred_at": at.isoformat()}
        return (await self.send(report(PROGRAM, member, activity, at)))[-1]


async def test_everybody_at_or_above_the_last_place_is_invited(database: Database, database_urls: DatabaseUrls) -> None:
    """CP-1: of ten the second place is £4,800, and two have that."""
    shop = Shop(database)
    for number, pounds in enumerate((5200, 4800, 4800, 3900, 3100, 2900, 2500, 2000, 1500, 1000)):
        await shop.regular(f"m-{number}", pounds)
    # Who did not buy in each of the last three quarters counts neither for the place nor for the number.
    await shop.enrol("m-rich", "m-gone")
    await shop.buy("m-rich", 900_000, AUTUMN)
    await shop.buy("m-rich", 100, SUMMER)
    heard = await shop.judged(NEW_YEAR)
    invited = [one for one in heard if "invited" in one["entered"]]
    assert [one["member"] for one in invited] == ["m-0", "m-1", "m-2"]
    assert invited[0]["segments"] == [
        {"name": "invited", "primary": False, "since": "2025-01-01", "until": "2025-03-01"}
    ]
    assert invited[0]["reason"] == "judged"
    assert await shop.belong("invited") == ["m-0", "m-1", "m-2"]
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from measured") == 0
    assert await shop.judged(NEW_YEAR) == []
    assert not await findings(database_urls)


@pytest.mark.parametrize(("size", "invited"), [(11, 2), (4, 1), (1, 1)])
async def test_the_place_is_rounded_down_and_at_least_the_first(database: Database, size: int, invited: int) -> None:
    """CP-2."""
    shop = Shop(database)
    for number in range(size):
        await shop.regular(f"m-{number:02}", 1000 - 10 * number)
    await shop.judged(NEW_YEAR)
    assert await shop.belong("invited") == [f"m-{number:02}" for number in range(invited)]


async def test_a_return_takes_a_place_away(database: Database, database_urls: DatabaseUrls) -> None:
    shop = Shop(database)
    for number, pounds in enumerate((500, 400, 300, 200)):
        await shop.regular(f"m-{number}", pounds)
    back = {"id": "back", "type": "return", "of": "m-0-3", "occurred_at": NEW_YEAR.isoformat(), "currency": "GBP"}
    said = await shop.send(report(PROGRAM, "m-0", {**back, "amount": 20_000}, NEW_YEAR))
    assert said[0]["type"] == "points.clawed_back.v1"
    await shop.judged(NEW_YEAR)
    assert await shop.belong("invited") == ["m-1"]
    assert not await findings(database_urls)


async def test_holders_are_checked_each_year(database: Database, database_urls: DatabaseUrls) -> None:
    """CP-4: of ten without ties the holder who is third stays, the fourth leaves with the year."""
    shop = Shop(database)
    for number in range(10):
        await shop.regular(f"m-{number}", 5000 - 100 * number)
    await shop.judged(NEW_YEAR)
    assert await shop.belong("invited") == ["m-0", "m-1"]
    for member in ("m-0", "m-1"):
        said = await shop.join(member, NEW_YEAR + timedelta(days=59))
        assert (said["entered"], said["left"], said["reason"]) == (["plus"], ["invited"], "joined")
    uninvited = await shop.join("m-2", NEW_YEAR + timedelta(days=1))
    assert uninvited["type"] == "points.awarded.v1"
    assert await shop.belong("plus") == ["m-0", "m-1"]
    # In the next year m-0 comes third and m-1 fourth of ten; m-2 is first, m-3 second.
    pounds = {"m-2": 9000, "m-3": 8000, "m-0": 7000, "m-1": 6000, "m-4": 5000}
    for number in range(10):
        member = f"m-{number}"
        for month in (5, 8, 11):
            await shop.buy(member, pounds.get(member, 1000) * 100, datetime(2025, month, 15, 12, tzinfo=UTC))
    after = datetime(2026, 1, 1, tzinfo=UTC)
    await shop.judged(after)
    assert await shop.belong("plus") == ["m-0"]
    assert await shop.belong("invited") == ["m-2", "m-3"]
    assert not await findings(database_urls)


async def test_in_small_steps_it_comes_to_the_same(database: Database, database_urls: DatabaseUrls) -> None:
    """Stopped after every step, and some steps lost: nobody twice, nobody missed."""
    shop = Shop(database, batch_max=3)
    for number in range(12):
        await shop.regular(f"m-{number:02}", 1000 - 10 * number)
    heard: list[dict[str, Any]] = []
    for number in range(2000):
        if number % 3 == 0:
            await shop.step(NEW_YEAR, dies=True)
        more, said = await shop.step(NEW_YEAR)
        heard += said
        if not more:
            break
    else:
        raise AssertionError("the judgement never ended")
    assert [one["member"] for one in heard if "invited" in one["entered"]] == ["m-00", "m-01"]
    assert await shop.belong("invited") == ["m-00", "m-01"]
    assert not await findings(database_urls)


async def test_two_judges_at_once_judge_everybody_once(database: Database, database_urls: DatabaseUrls) -> None:
    shop = Shop(database, batch_max=2)
    for number in range(6):
        await shop.regular(f"m-{number}", 1000 - 10 * number)
    async with database.transaction() as held:
        store = Ledger(held)
        found = await shop.judge.find(store, PROGRAM, NEW_YEAR)
        assert found is not None
        await shop.judge.step(store, found)
        # Nobody else sees the first step before it is committed.
    heard = await shop.judged(NEW_YEAR)
    async with database.transaction() as first:
        one = Ledger(first)
        await one.begin_judgement(PROGRAM, NEW_YEAR + timedelta(days=1))
        assert await one.open_judgement([PROGRAM]) is not None
        async with database.transaction() as second:
            assert await Ledger(second).open_judgement([PROGRAM]) is None
    assert [one["member"] for one in heard if "invited" in one["entered"]] == ["m-0"]
    assert not await findings(database_urls)


async def test_fruit_in_eight_weeks_judged_on_mondays(database: Database, database_urls: DatabaseUrls) -> None:
    """TC-7, with a rule that is for the club alone, and a basket that is reported late."""
    whole = document(PROGRAM)
    bonus = {
        "rule": "club", "on": ["purchase"], "unit": "point", "segments": ["fruit"],
        "rate": {"points": 1, "per": 100}, "funding": {"funder": "tesco"},
    }  # fmt: skip
    shop = Shop(database, earning=[*dump_program(whole)["earning"], bonus])
    await shop.enrol("m-in", "m-out")
    monday = datetime(2024, 3, 4, tzinfo=UTC)
    for week, pence in enumerate((1200, 1400, 900, 1300, 1200, 1100, 1500, 1000)):
        at = monday - timedelta(days=55 - 7 * week)
        for member, less in (("m-in", 0), ("m-out", int(week == 7))):
            line = {"id": "1", "category": "FRUIT", "amount": pence - less}
            await shop.buy(member, pence - less, at, lines=[line])
    heard = await shop.judged(monday)
    assert [(one["member"], one["entered"], one["segments"][0]["primary"]) for one in heard] == [
        ("m-in", ["fruit"], True)
    ]
    rewarded = await shop.buy("m-in", 1000, monday + timedelta(hours=1))
    assert [(award["rule"], award["amount"]) for award in rewarded["awards"]] == [("base", 10), ("club", 10)]
    late = purchase("late", 1000, monday - timedelta(seconds=1))
    (said,) = await shop.send(report(PROGRAM, "m-in", late, monday + timedelta(hours=2)))
    assert [award["rule"] for award in said["awards"]] == ["base"]
    assert next(each["reason"] for each in said["decision"] if each["rule"] == "club") == "not_in_segment"
    heard = await shop.judged(monday + timedelta(days=7))
    assert [(one["member"], one["left"]) for one in heard] == [("m-in", ["fruit"])]
    # A return is judged by where the member belonged when it bought.
    back = {"id": "back", "type": "return", "of": rewarded["activity"], "occurred_at": NEW_YEAR.isoformat()}
    (said,) = await shop.send(report(PROGRAM, "m-in", back, NEW_YEAR))
    assert {each["rule"]: each["amount"] for each in said["reversals"]} == {"base": 10, "club": 10}
    assert not await findings(database_urls)


async def test_an_invitation_ends_when_nobody_touches_the_member(
    database: Database, database_urls: DatabaseUrls
) -> None:
    shop = Shop(database)
    await shop.regular("m-1", 100)
    await shop.judged(NEW_YEAR)
    end = datetime(2025, 3, 2, tzinfo=UTC)
    for until, found in ((end - timedelta(seconds=1), []), (end, [(PROGRAM, "m-1")])):
        async with database.transaction() as connection:
            ledger = Ledger(connection)
            due = await ledger.due([PROGRAM], until, 10)
            assert due == found
            said = await shop.road.run_due(ledger, due, until) if due else []
    assert [one.type for one in said] == ["segment.changed.v1"]
    assert msgspec.json.decode(said[0].body)["reason"] == "ended"
    assert await shop.belong("invited") == []
    refused = await shop.join("m-1", end)
    assert refused["type"] == "points.awarded.v1"
    assert not await findings(database_urls)


async def test_who_is_closed_belongs_nowhere_after_the_next_judgement(
    database: Database, database_urls: DatabaseUrls
) -> None:
    shop = Shop(database)
    for number in range(2):
        await shop.regular(f"m-{number}", 100 - number)
    await shop.judged(NEW_YEAR)
    await shop.join("m-0", NEW_YEAR)
    closing = {"at": NEW_YEAR, "cause": {"kind": "request", "id": "r"}, "change": "c", "versions": {"program": 1}}
    await shop.send(note("member.close_requested.v1", PROGRAM, "m-0", **closing))
    for member in ("m-1",):
        for month in (5, 8, 11):
            await shop.buy(member, 100, datetime(2025, month, 15, 12, tzinfo=UTC))
    heard = await shop.judged(datetime(2026, 1, 1, tzinfo=UTC))
    assert [(one["member"], one["left"], one["entered"]) for one in heard] == [
        ("m-0", ["plus"], []), ("m-1", [], ["invited"]),
    ]  # fmt: skip
    assert not await findings(database_urls)


async def test_what_is_due_by_then_is_done_before(database: Database, database_urls: DatabaseUrls) -> None:
    """A lot that ends at the very midnight of the judgement has its own journal, before it."""
    units = {"point": {"scale": 0, "validity": {"kind": "end_of_period", "period": "year", "after": 0}}}
    shop = Shop(database, units=units)
    await shop.regular("m-1", 100)
    heard = await shop.judged(NEW_YEAR)
    assert [one["type"] for one in heard] == ["points.expired.v1", "segment.changed.v1"]
    assert heard[1]["balances"][0]["available"] == 0
    async with database.connection() as connection:
        kinds = [row["kind"] for row in await connection.fetch("select kind from journals order by journal")]
    assert kinds[-2:] == ["expiry", "segment"]
    assert not await findings(database_urls)


async def test_a_program_without_anything_counted_is_not_judged(database: Database) -> None:
    shop = Shop(database)
    await shop.enrol("m-1")
    assert await shop.judged(NEW_YEAR) == []
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from judgements") == 0


async def test_on_a_wall_clock_a_program_is_judged_from_its_first_look_on(database: Database) -> None:
    shop = Shop(database, clock="wall")
    await shop.regular("m-1", 100)
    sunday = datetime(2024, 12, 29, 12, tzinfo=UTC)
    assert await shop.judged(sunday) == []
    heard = await shop.judged(NEW_YEAR + timedelta(hours=1))
    assert [one["entered"] for one in heard] == [["invited"]]
    async with database.connection() as connection:
        rows = await connection.fetch("select at, state from judgements order by at")
    monday = datetime(2024, 12, 30, tzinfo=UTC)
    assert [tuple(row) for row in rows] == [(sunday, "done"), (monday, "done"), (NEW_YEAR, "done")]


async def test_a_segment_that_a_version_gave_up_is_left(database: Database, database_urls: DatabaseUrls) -> None:
    shop = Shop(database)
    await shop.regular("m-1", 100)
    await shop.judged(NEW_YEAR)
    assert await shop.belong("invited") == ["m-1"]
    clubs = [each for each in dump_program(document(PROGRAM))["segments"] if each["segment"] == "fruit"]
    shop.programs.publish(document(PROGRAM, segments=clubs, effective_from="2025-01-05T00:00:00+00:00"))
    heard = await shop.judged(datetime(2025, 1, 6, tzinfo=UTC))
    assert [(one["member"], one["left"]) for one in heard] == [("m-1", ["invited"])]
    assert not await findings(database_urls)


class Bank(Judged):
    """A bank whose classes fall at the end of a month, and take more from June on."""

    async def rise(self, member: str, amount: int) -> None:
        await self.send(enrolment(PROGRAM, member, SPRING))
        await self.send(report(PROGRAM, member, purchase(f"b-{member}", amount * 100, SPRING), SPRING))

    async def classes(self, at: datetime) -> dict[str, str]:
        async with self.database.transaction() as connection:
            ledger = Ledger(connection)
            await self.road.run_due(ledger, await ledger.due([PROGRAM], at, 100), at)
            rows = await connection.fetch("select member, tier from tiers where program = $1", PROGRAM)
        return {row["member"]: row["tier"] for row in rows}


def classes(needs: int, **changes: Any) -> ProgramDocument:
    steps = {"rule": "steps", "on": ["purchase"], "unit": "step", "rate": {"points": 1, "per": 100}}
    tiers = {
        "counters": {"c": {"unit": "step", "window": "rolling", "months": 12}},
        "levels": [{"tier": "member"}, {"tier": "silver", "needs": {"c": needs}}],
        "falls": "month_end",
    }
    units = {"step": {"scale": 0, "counts_only": True}}
    return document(PROGRAM, units=units, earning=[steps], tiers=tiers, caps=[], conversions=[], segments=[], **changes)


@pytest.mark.parametrize("clock", ["wall", "manual"])
async def test_a_class_that_takes_more_now_is_lost_at_the_end_of_the_month(
    database: Database, database_urls: DatabaseUrls, clock: str
) -> None:
    june = datetime(2024, 6, 10, 8, tzinfo=UTC)
    later = classes(1000, clock=clock, effective_from="2024-06-10T08:00:00+00:00")
    bank = Bank(database, classes(500, clock=clock), later, batch_max=1)
    for member, amount in (("m-1", 600), ("m-2", 1200), ("m-3", 100)):
        await bank.rise(member, amount)
    before, end = june - timedelta(hours=1), datetime(2024, 6, 30, 23, tzinfo=UTC)
    assert await bank.judged(before) == []
    heard = await bank.judged(june + timedelta(days=3))
    assert [(one["type"], one["member"]) for one in heard] == [("tier.kept.v1", "m-1")]
    assert await bank.classes(end - timedelta(hours=1)) == {"m-1": "silver", "m-2": "silver"}
    assert await bank.classes(end) == {"m-1": "member", "m-2": "silver"}
    assert await bank.judged(end) == [], "it is looked at once"
    assert not await findings(database_urls)
