"""A quote says what would be posted, caps and limits included, and changes nothing."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from laurel.errors import Problem
from laurel.io.database import Database
from laurel.io.http import _on_problem
from laurel.io.migrating import DatabaseUrls
from laurel.program import CompiledProgram, ProgramDocument, load_program
from services.points.entry.http import routes
from services.points.store.views import LedgerViews
from services.points.testing import FixedPrograms
from tests.points.referring import MINE, SAID, THEIRS, joining, paid
from tests.points.store.bank import bank
from tests.points.stored import StoredTill, findings
from tests.points.till import document, enrolment, purchase
from tests.program.samples import a_document

pytestmark = pytest.mark.anyio


class Book(FixedPrograms):
    """Fixed programs whose newest version can be asked for."""

    def newest(self, program: str) -> CompiledProgram | None:
        return self.version(program, 1)


async def ask(
    database: Database, program: ProgramDocument, body: dict[str, Any], *, book: Book | None = None, **params: str
) -> Any:
    app = FastAPI()
    app.add_exception_handler(Problem, _on_problem)
    app.include_router(routes(LedgerViews(database), book or Book(program)))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://points") as http:
        return (await http.post(f"/v1/programs/{program.program}/quotes", json=body, params=params)).json()


def awarded(said: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return sorted((one["member"], one["rule"], one["amount"]) for one in said)


async def test_a_quote_is_what_is_posted_then(database: Database, database_urls: DatabaseUrls) -> None:
    program = document("gm-card", clock="wall")
    till = StoredTill(program)
    till.database = database
    await till.enrol()
    await till.buy("a", 960_000, currency="USD")
    till.pass_time(days=300)
    for number, at in enumerate((till.at, till.at + timedelta(days=100))):
        body = purchase(f"b-{number}", 100_000, at, currency="USD")
        quoted = await ask(database, program, {**body, "member": "m-1"})
        till.at = at
        posted = await till.report(body)
        assert quoted["decision"] == posted["decision"]
        assert [(one["rule"], one["amount"], one["expires_at"]) for one in quoted["awards"]] == [
            (one["rule"], one["amount"], one["expires_at"]) for one in posted["awards"]
        ]
    assert await till.figures("credit") == (55_000, 0)
    assert await findings(database_urls) == []


async def test_nobody_in_particular_has_all_the_room(database: Database) -> None:
    program = document("gm-card")
    quoted = await ask(database, program, purchase("a", 2_000_000, currency="USD"))
    assert quoted["awards"][0]["amount"] == 50_000
    assert quoted["decision"][0]["capped_by"] == [{"cap": "window_cap", "cut": 50_000}]


async def test_a_limit_that_is_reached_is_said(database: Database) -> None:
    program = document("seven-eleven")
    till = StoredTill(program)
    till.database = database
    await till.enrol()
    lunch: dict[str, Any] = {
        "id": "a",
        "type": "purchase",
        "occurred_at": "2024-03-02T12:00:00+09:00",
        "currency": "JPY",
        "store": "office-1",
        "lines": [{"id": "1", "amount": 980, "category": "lunch-box"}],
    }
    assert sum(one["amount"] for one in (await ask(database, program, {**lunch, "member": "m-1"}))["awards"]) == 19
    await till.report(lunch)
    quoted = await ask(database, program, {**lunch, "member": "m-1"})
    assert sum(one["amount"] for one in quoted["awards"]) == 9
    assert quoted["decision"][1]["reason"] == "limit_reached"


async def test_a_closed_program_quotes_nothing(database: Database) -> None:
    quoted = await ask(database, document("ford-card"), purchase("a", 1000, currency="USD"))
    assert quoted["code"] == "program_closed"


async def test_what_others_get_is_said(database: Database) -> None:
    till = await bank(database, rules=(THEIRS, MINE, SAID))
    program = load_program(a_document(THEIRS, MINE, SAID))
    quoted = await ask(database, program, {**paid("p-1"), "member": "m-1"})
    assert [one["member"] for one in quoted["awards"]] == ["m-1", "m-2"]
    posted = await till.report(paid("p-1"))
    assert quoted["decision"] == posted["decision"]
    assert awarded(quoted["awards"]) == awarded([*posted["awards"], *posted["others"]])
    assert awarded(quoted["awards"]) == [("m-1", "mine", 200), ("m-2", "theirs", 200)]


async def test_whoever_became_a_part_of_another_is_answered_for_by_that_one(database: Database) -> None:
    till = await bank(database)
    await till.send(joining(till, "m-2", "m-3"))
    program = load_program(a_document(MINE, THEIRS, SAID))
    quoted = await ask(database, program, {**paid("p-1"), "member": "m-1"})
    posted = await till.report(paid("p-1"))
    assert awarded(quoted["awards"]) == awarded([*posted["awards"], *posted["others"]])
    assert awarded(quoted["awards"]) == [("m-1", "mine", 200), ("m-3", "theirs", 200)]


async def test_who_paid_is_credited_by_its_own_caps(database: Database) -> None:
    program = document("gm-card", clock="wall")
    till = StoredTill(program)
    till.database = database
    await till.enrol()
    await till.send(enrolment("gm-card", "m-2"))
    await till.buy("a", 960_000, currency="USD")
    payer = {"id": "m-2", "kind": "firm", "policy": "return_to_payer"}
    bought = purchase("b", 100_000, till.at, currency="USD", payer=payer)
    quoted = await ask(database, program, {**bought, "member": "m-1"})
    posted = await till.report(bought)
    assert quoted["decision"] == posted["decision"]
    assert awarded(quoted["awards"]) == awarded(posted["awards"]) == [("m-2", "base", 5_000)]


async def test_what_would_be_refused_is_refused(database: Database) -> None:
    program = document("gm-card", clock="wall")
    till = StoredTill(program)
    till.database = database
    await till.enrol()
    await till.buy("a", 100, currency="USD", exclusive_key="coupon-1")
    book = Book(program)
    book.say("gm-card", "bank", "suspended", till.at)
    bought = {**purchase("b", 10_000, till.at, currency="USD"), "member": "m-1"}

    async def code(at: datetime = till.at, **fields: Any) -> Any:
        said = await ask(database, program, {**bought, **fields}, book=book, at=at.isoformat())
        return said.get("code")

    assert await code() is None
    assert await code(partner="bank") == "partner_not_active"
    assert await code(exclusive_key="coupon-1") == "already_credited"
    assert await code(till.at + timedelta(days=400)) == "claim_too_late"
    assert await code(till.at + timedelta(days=400), type="return", of="a", amount=None, currency=None) is None
    assert await code(payer={"id": "nobody", "kind": "firm", "policy": "return_to_payer"}) == "member_unknown"
    async with database.connection() as connection:
        await connection.execute("update wallets set status = 'closed' where program = 'gm-card' and member = 'm-1'")
    assert await code() == "member_not_active"
