"""Whole workers beside a real broker and database; the gateway is played by the stage."""

from __future__ import annotations

from typing import Any

import pytest

from laurel.values import AMOUNT_MAX
from services.points.settings import PointsSettings
from services.points.testing import Note
from tests.points.stage import PROGRAM, Stage, at_work, body
from tests.points.till import START, purchase, report

pytestmark = pytest.mark.anyio


def bought(member: str, id_: str, amount: int = 1000, **fields: Any) -> Note:
    return report(PROGRAM, member, purchase(id_, amount, START, **fields), START)


async def test_basket_of_more_points_than_there_can_be_is_refused_and_stops_nobody(
    stage: Stage, settings: PointsSettings
) -> None:
    packs: list[dict[str, Any]] = [
        {"id": f"{n}", "sku": "pack-50", "quantity": 10**15, "amount": 0} for n in range(2000)
    ]
    async with at_work(settings):
        await stage.enrol("m-1", "m-2")
        full = [{**packs[0], "quantity": AMOUNT_MAX // 50}]
        await stage.tell(bought("m-1", "b-1", 0, lines=packs), bought("m-1", "b-2"))
        await stage.tell(bought("m-2", "b-3"), bought("m-2", "b-4", 0, lines=full))
        await stage.until(lambda: len(stage.of("points.awarded.v1")) == 2)
        await stage.until(lambda: len(stage.of("activity.refused.v1")) == 2)
    assert {(each.member, body(each)["code"]) for each in stage.of("activity.refused.v1")} == {
        ("m-1", "limit_reached"),
        ("m-2", "limit_reached"),
    }
    assert await stage.parked() == []
    assert await stage.findings() == []
