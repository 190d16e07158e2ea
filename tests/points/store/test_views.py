"""Reads for callers, and that a partner sees its own journals and lots only."""

import pytest

from laurel.errors import Problem
from laurel.io.database import Database
from services.points.store.views import LedgerViews
from tests.points.stored import StoredTill
from tests.points.till import document, purchase

pytestmark = pytest.mark.anyio


async def test_partner_sees_only_its_own(database: Database) -> None:
    till = StoredTill(document("clubcard"))
    till.database = database
    await till.enrol()
    await till.report(purchase("b-1", 1000, till.at), partner="hotel")
    await till.report(purchase("b-2", 2000, till.at), partner="shop")
    views = LedgerViews(database)
    for partner, count in ((None, 2), ("hotel", 1)):
        pages = [
            await views.statement("clubcard", "m-1", 50, None, partner),
            await views.decisions("clubcard", "m-1", 50, None, partner),
            await views.lots("clubcard", "m-1", 50, (0, 0), partner),
        ]
        assert [len(page["data"]) for page in pages] == [count] * 3
        assert all(row["partner"] == "hotel" for page in pages for row in page["data"] if partner is not None)


async def test_member_nobody_enrolled_is_unknown(database: Database) -> None:
    with pytest.raises(Problem, match="No such member"):
        await LedgerViews(database).statement("clubcard", "nobody", 50, None, None)
