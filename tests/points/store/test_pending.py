"""Points that wait for an approval, over real tables: given up or released with the shares of others, and proved."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.health import Health
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import Outbox
from laurel.io.unit import UnitOfWork
from laurel.program import load_program
from services.points.entry.timers import ExpiryTimer
from services.points.store.ledger import Ledger
from services.points.testing import Note, note
from tests.points.pending import CAPS, STAY, WAITING
from tests.points.referring import MINE, THEIRS, paid
from tests.points.stored import StoredTill, findings, insist
from tests.points.till import enrolment, purchase, report
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio

BASE = {"rule": "base", "rate": {"points": 1, "per": 100}, **WAITING}


async def shop(database: Database, *rules: dict[str, Any], **changes: Any) -> StoredTill:
    till = StoredTill(load_program(a_document(*rules, clock="wall", **changes)))
    till.database = database
    await till.send(enrolment("sample", "m-2"))
    await till.enrol(referred_by="m-2")
    return till


def decision(till: StoredTill, activity: str, *, approve: bool, member: str = "m-1") -> Note:
    fields = {
        "activity": activity,
        "partner": "shop",
        "approve": approve,
        "limit": None,
        "versions": {"program": 1, "partners": 1},
    }
    cause = {"kind": "activity", "id": activity}
    return note("pending.decision_requested.v1", "sample", member, at=till.at, cause=cause, **fields)


async def stand(database: Database, member: str) -> tuple[int, int, int]:
    async with database.connection() as connection:
        row = await connection.fetchrow("select available, pending, owed from balances where member = $1", member)
    return tuple(row) if row is not None else (0, 0, 0)


async def test_what_is_given_up_frees_its_window_and_refills_from_the_tables(
    database: Database, database_urls: DatabaseUrls
) -> None:
    till = await shop(database, BASE, STAY, caps=CAPS, returns={"refill_on_return": True})
    await till.buy("a", 1000)
    await till.report({**purchase("t", 200, till.at), "type": "stay"})
    await till.report({**purchase("u", 300, till.at), "type": "stay"})
    assert await stand(database, "m-1") == (2, 10, 0)
    await till.send(decision(till, "a", approve=False))
    assert (await stand(database, "m-1"), list((await till.counters()).values())) == ((10, 0, 0), [[10]])
    # Returns of what was refilled and of what was given up, in one batch, take each only its own.
    back = [{"id": f"r-{of}", "type": "return", "of": of, "occurred_at": till.at.isoformat()} for of in ("a", "u")]
    await till.send(*(report("sample", "m-1", each, till.at) for each in back))
    assert (await stand(database, "m-1"), list((await till.counters()).values())) == ((4, 0, 0), [[4]])
    assert await findings(database_urls) == []
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute("update points.counters set counted = counted + 1 where member = 'm-1'")
    await owner.close()
    assert [finding.where for finding in await findings(database_urls)] == ["sample/m-1"]


async def test_a_limit_by_person_is_free_again_once(database: Database, database_urls: DatabaseUrls) -> None:
    limit = {"times": 1, "per": "year", "by": "person"}
    till = await shop(database, {"rule": "once", "fixed": {"points": 7}, "limit": limit, **WAITING})
    await till.send(enrolment("sample", "m-3", person="p"), enrolment("sample", "m-4", person="p"))
    await till.send(report("sample", "m-3", purchase("a", 100, till.at), till.at))
    await till.send(decision(till, "a", approve=False, member="m-3"))
    back = {"id": "r", "type": "return", "of": "a", "occurred_at": till.at.isoformat()}
    await till.send(report("sample", "m-3", back, till.at))
    await till.send(*(report("sample", "m-4", purchase(each, 100, till.at), till.at) for each in ("b", "c")))
    assert await stand(database, "m-4") == (0, 7, 0)
    assert await findings(database_urls) == []


@pytest.mark.parametrize("approve", [True, False])
async def test_a_decision_reaches_the_share_of_another(
    database: Database, database_urls: DatabaseUrls, *, approve: bool
) -> None:
    till = await shop(database, {**MINE, **WAITING}, {**THEIRS, **WAITING})
    await till.send(report("sample", "m-1", paid("p-1"), till.at))
    assert [await stand(database, each) for each in ("m-1", "m-2")] == [(0, 200, 0), (0, 200, 0)]
    await till.send(decision(till, "p-1", approve=approve))
    got = 200 if approve else 0
    assert [await stand(database, each) for each in ("m-1", "m-2")] == [(got, 0, 0), (got, 0, 0)]
    assert await findings(database_urls) == []
    await till.send(report("sample", "m-1", paid("b-1", "return", of="p-1"), till.at))
    await till.send(report("sample", "m-1", paid("p-2"), till.at), report("sample", "m-1", paid("p-3"), till.at))
    assert [await stand(database, each) for each in ("m-1", "m-2")] == [(0, 200, 0), (0, 200, 0)]
    assert await findings(database_urls) == []


async def test_who_paid_is_found_by_the_activity(database: Database, database_urls: DatabaseUrls) -> None:
    till = await shop(database, BASE, payers={"public": "return_to_payer"})
    bought = purchase("a", 1000, till.at, payer={"kind": "public", "id": "m-2"})
    await till.send(report("sample", "m-1", bought, till.at))
    assert await stand(database, "m-2") == (0, 10, 0)
    await till.send(decision(till, "a", approve=True))
    assert await stand(database, "m-2") == (10, 0, 0)
    assert await findings(database_urls) == []


async def have_paid_for(till: StoredTill, units: int) -> None:
    """Let the hotel pay for some points in advance."""
    till.programs.say("sample", "hotel", "approved", billing="prepaid")
    paid_for = {"unit": "point", "units": units, "amount": units, "currency": "GBP", "reference": "r"}
    versions = {"program": 1, "partners": 1}
    await till.send(
        note("block.top_up_requested.v1", "sample", "", at=till.at, partner="hotel", versions=versions, **paid_for)
    )


async def test_what_is_refilled_draws_from_the_block_of_who_pays_for_it(
    database: Database, database_urls: DatabaseUrls
) -> None:
    stay = {**STAY, "funding": {"funder": "hotel"}}
    till = await shop(database, BASE, stay, caps=CAPS, returns={"refill_on_return": True})
    await have_paid_for(till, 3)
    await till.buy("a", 1200)
    await till.report({**purchase("t", 200, till.at), "type": "stay"})
    await till.send(decision(till, "a", approve=False))
    # Of the 4 that the cap had refused, 3 are paid for.
    assert (await stand(database, "m-1"), list((await till.counters()).values())) == ((3, 0, 0), [[3]])
    async with database.connection() as connection:
        assert await connection.fetchval("select used from blocks where partner = 'hotel'") == 3
    assert await findings(database_urls) == []


async def test_a_share_alone_is_decided_in_the_batch_that_gave_it(
    database: Database, database_urls: DatabaseUrls
) -> None:
    till = await shop(database, MINE, {**THEIRS, **WAITING})
    said = await till.send(report("sample", "m-1", paid("p-1"), till.at), decision(till, "p-1", approve=False))
    assert [(one["member"], one["amount"]) for one in said if one["type"] == "points.pending_decided.v1"] == [
        ("m-1", 200),
        ("m-2", 200),
    ]
    await till.send(report("sample", "m-1", paid("b-1", "return", of="p-1"), till.at))
    assert [await stand(database, each) for each in ("m-1", "m-2")] == [(0, 0, 0), (0, 0, 0)]
    assert await findings(database_urls) == []


async def test_decisions_about_two_who_refer_each_other_at_once(
    database: Database, database_urls: DatabaseUrls
) -> None:
    mine, theirs = ({key: value for key, value in rule.items() if key != "limit"} for rule in (MINE, THEIRS))
    till = await shop(database, {**mine, **WAITING}, {**theirs, **WAITING})
    await till.send(enrolment("sample", "m-9", referred_by="m-1"))
    await till.send(enrolment("sample", "m-8", referred_by="m-9"))
    payments = [(member, f"{member}-{number}") for number in range(6) for member in ("m-1", "m-9", "m-8")]
    await till.send(*(report("sample", who, paid(id_), till.at) for who, id_ in payments))
    await asyncio.gather(
        *(insist(till, decision(till, id_, approve=id_.endswith(("1", "3")), member=who)) for who, id_ in payments)
    )
    # Two of each payer's six are approved; m-1 and m-9 have a share of another's besides.
    stands = [await stand(database, each) for each in ("m-2", "m-1", "m-9", "m-8")]
    assert stands == [(400, 0, 0), (800, 0, 0), (800, 0, 0), (400, 0, 0)]
    assert await findings(database_urls) == []


SHORT = {"kind": "rolling", "days": 30}


class Wall:
    """Every program lives by the wall clock."""

    def on_wall_clocks(self) -> list[str]:
        return ["sample"]


async def look(till: StoredTill) -> int:
    """Let the timer do what is due, a member a batch; return at how many it looked."""

    def now() -> datetime:
        return till.at

    unit = UnitOfWork(till.database, await Outbox.load("points", till.database))
    timer = ExpiryTimer(unit, till.road, Wall(), Ledger, Health(), interval_seconds=1, batch_max=1, now=now)
    return await timer.run_once()


async def test_what_never_came_is_given_up_by_the_timer_and_refills_from_the_tables(
    database: Database, database_urls: DatabaseUrls
) -> None:
    till = await shop(database, {**BASE, "validity": SHORT}, STAY, caps=CAPS, returns={"refill_on_return": True})
    for member in ("m-1", "m-2"):
        bought = [
            purchase("a-" + member, 400, till.at),
            purchase("b-" + member, 600, till.at),
            {**purchase("t-" + member, 900, till.at), "type": "stay"},
        ]
        await till.send(*(report("sample", member, each, till.at) for each in bought))
    assert [await stand(database, each) for each in ("m-1", "m-2")] == [(2, 10, 0), (2, 10, 0)]
    till.pass_time(days=29)
    await look(till)
    assert await stand(database, "m-1") == (2, 10, 0)
    till.pass_time(days=2)
    # Both activities of both members, a member a batch, in steps that could stop anywhere.
    assert await look(till) == 2
    assert [await stand(database, each) for each in ("m-1", "m-2")] == [(12, 0, 0), (12, 0, 0)]
    assert list((await till.counters()).values()) == [[12]]
    assert await look(till) == 0
    assert await findings(database_urls) == []


async def test_a_message_finds_what_ended_before_it_given_up(database: Database, database_urls: DatabaseUrls) -> None:
    """The same by a message that comes first: at once for both members whom it concerns."""
    till = await shop(database, {**MINE, **WAITING, "validity": SHORT}, {**THEIRS, **WAITING, "validity": SHORT})
    await till.send(report("sample", "m-1", paid("p-1"), till.at))
    assert [await stand(database, each) for each in ("m-1", "m-2")] == [(0, 200, 0), (0, 200, 0)]
    till.pass_time(days=40)
    said = await till.send(decision(till, "p-1", approve=True))
    assert [(one["member"], one.get("ended"), one.get("code")) for one in said] == [
        ("m-1", True, None), ("m-2", True, None), ("m-1", False, "nothing_pending"),
    ]  # fmt: skip
    back = {"id": "r", "type": "return", "of": "p-1", "occurred_at": till.at.isoformat()}
    said = await till.send(report("sample", "m-1", back, till.at))
    # The share is not asked for again: it was given up by itself.
    assert [each["owed"] for one in said for each in one["reversals"]] == []
    assert [await stand(database, each) for each in ("m-1", "m-2")] == [(0, 0, 0), (0, 0, 0)]
    assert await findings(database_urls) == []


async def test_what_waits_without_a_date_ends_with_inactivity(database: Database, database_urls: DatabaseUrls) -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "inactivity", "months": 2, "kept_by": ["purchase"]}}}
    till = await shop(database, BASE, units=units)
    await till.buy("a", 1000)
    till.pass_time(days=50)
    await till.buy("b", 500)
    till.pass_time(days=30)
    # Looked at, because the first end has passed; looked at no more, because it was put off.
    assert await look(till) == 1
    assert (await stand(database, "m-1"), await look(till)) == ((0, 15, 0), 0)
    till.pass_time(days=40)
    assert await look(till) == 1
    assert (await stand(database, "m-1"), await look(till)) == ((0, 0, 0), 0)
    assert await findings(database_urls) == []


async def test_a_limit_by_person_is_free_again_when_what_it_counted_ends(
    database: Database, database_urls: DatabaseUrls
) -> None:
    limit = {"times": 1, "per": "year", "by": "person"}
    rule = {"rule": "once", "fixed": {"points": 7}, "limit": limit, **WAITING, "validity": SHORT}
    till = await shop(database, rule)
    await till.send(enrolment("sample", "m-3", person="p"), enrolment("sample", "m-4", person="p"))
    await till.send(report("sample", "m-3", purchase("a", 100, till.at), till.at))
    till.pass_time(days=40)
    assert await look(till) == 1
    await till.send(*(report("sample", "m-4", purchase(each, 100, till.at), till.at) for each in ("b", "c")))
    assert (await stand(database, "m-3"), await stand(database, "m-4")) == ((0, 0, 0), (0, 7, 0))
    assert await findings(database_urls) == []


async def test_what_comes_in_the_place_of_what_ended_draws_from_its_block(
    database: Database, database_urls: DatabaseUrls
) -> None:
    stay = {**STAY, "funding": {"funder": "hotel"}}
    till = await shop(database, {**BASE, "validity": SHORT}, stay, caps=CAPS, returns={"refill_on_return": True})
    await have_paid_for(till, 3)
    await till.buy("a", 1200)
    await till.report({**purchase("t", 200, till.at), "type": "stay"})
    till.pass_time(days=40)
    assert await look(till) == 1
    assert (await stand(database, "m-1"), list((await till.counters()).values())) == ((3, 0, 0), [[3]])
    assert await findings(database_urls) == []


async def test_the_auditor_sees_an_end_that_nobody_would_look_at(
    database: Database, database_urls: DatabaseUrls
) -> None:
    till = await shop(database, {**BASE, "validity": SHORT})
    await till.buy("a", 1000)
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute("update points.wallets set next_due_at = null")
    await owner.close()
    assert [each.proof for each in await findings(database_urls)] == [
        "pending points that await something else are due at their end"
    ]


async def test_shares_are_released_by_what_the_activity_awaited(
    database: Database, database_urls: DatabaseUrls
) -> None:
    until_stay = {"pending": {"until_event": "stay"}}
    till = await shop(database, {**MINE, **until_stay}, {**THEIRS, **until_stay})
    await till.send(
        report("sample", "m-1", paid("p-1"), till.at), report("sample", "m-1", paid("s-1", "stay", of="p-1"), till.at)
    )
    assert [await stand(database, each) for each in ("m-1", "m-2")] == [(200, 0, 0), (200, 0, 0)]
    await till.send(report("sample", "m-1", paid("b-1", "return", of="p-1"), till.at))
    await till.send(report("sample", "m-1", paid("p-2"), till.at))
    await till.send(report("sample", "m-1", paid("s-2", "stay", of="p-2"), till.at))
    assert [await stand(database, each) for each in ("m-1", "m-2")] == [(200, 0, 0), (200, 0, 0)]
    assert await findings(database_urls) == []


@pytest.mark.parametrize("end", ["approved", "rejected", "ended"])
async def test_a_refill_waits_as_the_rest_of_its_award_does(
    database: Database, database_urls: DatabaseUrls, *, end: str
) -> None:
    till = await shop(database, {**BASE, "validity": SHORT}, caps=CAPS, returns={"refill_on_return": True})
    await till.buy("a", 800)
    till.pass_time(days=1)
    await till.buy("b", 1000)
    await till.buy("c", 300)
    assert await stand(database, "m-1") == (0, 12, 0)
    back = {"id": "r", "type": "return", "of": "a", "occurred_at": till.at.isoformat()}
    await till.send(report("sample", "m-1", back, till.at))
    # The 6 that the cap had refused to "b" wait with its 4, and 2 of "c", of which nobody has seen anything, too.
    assert (await stand(database, "m-1"), await till.counters()) == ((0, 12, 0), {"cap/a-year/calendar_year": [12]})
    if end == "ended":
        till.pass_time(days=40)
        assert await look(till) == 1
    else:
        said = await till.send(decision(till, "b", approve=end == "approved"))
        assert said[0]["amount"] == 10
    stood = {"approved": (10, 2, 0), "rejected": (0, 3, 0), "ended": (0, 0, 0)}[end]
    left = {"approved": 12, "rejected": 3, "ended": 0}[end]
    assert (await stand(database, "m-1"), list((await till.counters()).values())) == (stood, [[left]])
    gone = {"id": "s", "type": "return", "of": "b", "occurred_at": till.at.isoformat()}
    await till.send(report("sample", "m-1", gone, till.at))
    # What was given up is not taken back again; what was approved makes room for the last of "c".
    assert (await stand(database, "m-1"))[::2] == (0, 0)
    assert await findings(database_urls) == []
