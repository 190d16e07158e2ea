"""The same thing told twice (S8): whatever has happened since, it is answered as it was first, and posts nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import load_program
from services.points.testing import Note, note
from tests.points.stored import StoredTill, findings
from tests.points.till import enrolment, purchase, report
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio

BASE = {"rule": "base", "rate": {"points": 1, "per": 100}}
BONUS = {"rule": "bonus", "multiplier": {"of": "base", "percent": 50}}
TOLD = ("type", "activity", "partner", "awards", "decision", "reversals", "code")


@pytest.fixture
async def till(database: Database) -> StoredTill:
    till = StoredTill(load_program(a_document(BASE, BONUS, clock="wall")))
    till.database = database
    await till.enrol()
    await till.send(enrolment("sample", "m-2"))
    return till


def bought(till: StoredTill, id_: str, amount: int, **fields: Any) -> Note:
    return report("sample", "m-1", purchase(id_, amount, till.at), till.at, **fields)


def again(till: StoredTill, first: Note, **fields: Any) -> Note:
    """The same report, accepted now."""
    body = {**msgspec.json.decode(first.body), "at": till.at.isoformat(), **fields}
    return Note(first.type, first.program, first.member, msgspec.json.encode(body), id="again")


def answer(said: list[dict[str, Any]]) -> dict[str, Any]:
    (one,) = said
    return {name: one[name] for name in TOLD if name in one}


async def state(till: StoredTill) -> tuple[Any, ...]:
    async with till.database.connection() as connection:
        return (
            await connection.fetch("select * from balances order by member"),
            await connection.fetchval("select count(*) from journals"),
        )


async def test_after_returns_corrections_and_another_version(till: StoredTill, database_urls: DatabaseUrls) -> None:
    first = bought(till, "a", 10_000)
    told = answer(await till.send(first))
    assert [award["amount"] for award in told["awards"]] == [100, 50]
    back = {"id": "r", "type": "return", "of": "a", "occurred_at": till.at.isoformat(), "amount": 3_000}
    returned = report("sample", "m-1", back, till.at)
    told_back = answer(await till.send(returned))
    assert [(each["rule"], each["amount"]) for each in told_back["reversals"]] == [("base", 30), ("bonus", 15)]
    await till.correct("c", "a", 10)
    double = {**BASE, "rate": {"points": 2, "per": 100}}
    later = till.at.replace(month=5).isoformat()
    till.programs.publish(load_program(a_document(double, clock="wall", effective_from=later)))
    till.pass_time(days=200)
    await till.run_due()
    before = await state(till)
    for repeat, its in ((first, told), (returned, told_back)):
        assert answer(await till.send(again(till, repeat, versions={"program": 2}))) == its
    # Both at once, twice.
    said = await till.send(again(till, first), again(till, returned), again(till, first), again(till, returned))
    assert [answer([one]) for one in said] == [told, told_back, told, told_back]
    assert await state(till) == before
    assert await findings(database_urls) == []


async def test_after_the_account_became_a_part_of_another(till: StoredTill, database_urls: DatabaseUrls) -> None:
    first = bought(till, "a", 10_000)
    told = answer(await till.send(first))
    common = {"at": till.at, "cause": {"kind": "merge", "id": "g"}, "merge": "g", "into": "m-2"}
    await till.send(note("member.merge_requested.v1", "sample", "m-1", **common, versions={"program": 1}))
    before = await state(till)
    assert answer(await till.send(again(till, first))) == told
    assert await state(till) == before
    assert await findings(database_urls) == []


async def test_other_content_and_another_partner_s(till: StoredTill, database_urls: DatabaseUrls) -> None:
    first = bought(till, "a", 10_000)
    await till.send(first)
    await till.give_back("r", "a")
    (refused,) = await till.send(bought(till, "a", 10_001))
    assert refused["code"] == "idempotency_mismatch"
    # It is no other's return either, and the id is no less the first one's for that.
    assert (await till.give_back("r", "a", amount=1))["code"] == "idempotency_mismatch"
    assert answer(await till.send(again(till, first)))["awards"][0]["amount"] == 100
    (theirs,) = await till.send(bought(till, "a", 10_001, partner="hotel"))
    assert [award["amount"] for award in theirs["awards"]] == [100, 50]
    # The one partner's return takes back what the one had reported.
    said = await till.give_back("r-2", "a")
    assert said["code"] == "over_returned"
    assert await till.figures("point") == (150, 0)
    assert await findings(database_urls) == []


async def test_a_refusal_that_is_kept_is_said_again_and_one_that_is_not_is_judged_again(till: StoredTill) -> None:
    late = purchase("late", 500, till.at.replace(year=till.at.year - 1))
    kept = report("sample", "m-1", late, till.at)
    told = answer(await till.send(kept))
    assert told["code"] == "claim_too_late"
    assert answer(await till.send(again(till, kept))) == told
    free = report("sample", "m-1", purchase("euro", 500, till.at, currency="EUR"), till.at)
    assert answer(await till.send(free))["code"] == "currency_not_accepted"
    assert answer(await till.send(bought(till, "euro", 500)))["awards"][0]["amount"] == 5
