"""A quote says what would be posted, caps and limits included, and changes nothing."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from laurel.errors import Problem
from laurel.io.database import Database
from laurel.io.http import _on_problem
from laurel.io.migrating import DatabaseUrls
from laurel.program import CompiledProgram, ProgramDocument
from services.points.entry.http import routes
from services.points.store.views import LedgerViews
from services.points.testing import FixedPrograms
from tests.points.stored import StoredTill, findings
from tests.points.till import document, purchase

pytestmark = pytest.mark.anyio


class Book(FixedPrograms):
    """Fixed programs whose newest version can be asked for."""

    def newest(self, program: str) -> CompiledProgram | None:
        return self.version(program, 1)


async def ask(database: Database, program: ProgramDocument, body: dict[str, Any]) -> Any:
    app = FastAPI()
    app.add_exception_handler(Problem, _on_problem)
    app.include_router(routes(LedgerViews(database), Book(program)))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://points") as http:
        return (await http.post(f"/v1/programs/{program.program}/quotes", json=body)).json()


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
