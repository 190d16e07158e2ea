"""The payer's wallet over real tables: credited, returned by the traveller, in one batch and in several."""

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from tests.points.stored import StoredTill, findings
from tests.points.till import START, document, enrolment, report

pytestmark = pytest.mark.anyio

PAID = {
    "id": "a",
    "type": "flight",
    "occurred_at": START.isoformat(),
    "attributes": {"miles": 1200, "cabin": "first"},
    "payer": {"id": "city", "kind": "public_body"},
}
BACK = {"id": "r", "type": "return", "of": "a", "occurred_at": START.isoformat()}


@pytest.mark.parametrize("together", [True, False])
async def test_paid_and_returned(database: Database, database_urls: DatabaseUrls, together: bool) -> None:
    till = StoredTill(document("aadvantage"))
    till.database = database
    await till.enrol()
    await till.send(enrolment("aadvantage", "city"))
    notes = [report("aadvantage", "m-1", body, START) for body in (PAID, BACK)]
    said = await till.send(*notes) if together else [*await till.send(notes[0]), *await till.send(notes[1])]
    assert [(one["type"], one["member"]) for one in said] == [
        ("points.awarded.v1", "city"),
        ("points.clawed_back.v1", "city"),
    ]
    assert await till.figures("mile") == (0, 0)
    till.member = "city"
    assert await till.figures("mile") == (0, 0)
    assert await findings(database_urls) == []
