"""Lines may be as long as a megabyte: few of them move at a time, and no more before those are published."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from laurel.io.health import Health
from services.gateway.pumping import Pump
from tests.gateway.files import BATCHES, NDJSON, finished, ndjson
from tests.gateway.stage import Instance, Others, purchase

pytestmark = pytest.mark.anyio

LONG = 12


class Published:
    """Whether what was said before is published, as the pump asks it."""

    def __init__(self) -> None:
        self.is_so = False
        self.asked = 0

    async def __call__(self, _seconds: float) -> bool:
        self.asked += 1
        return self.is_so


def pump_of(here: Instance, published: Published) -> Pump:
    """A pump that nobody runs, so that each turn is taken by hand."""
    parts = here.parts
    return Pump(
        parts.unit,
        Health(),
        parts.clock,
        in_flight_max=500,
        in_flight_beside_callers=500,
        yields_seconds=0.0,
        poll_seconds=1.0,
        silence_seconds=60.0,
        published=published,
    )


def long_basket(number: int) -> dict[str, Any]:
    """A purchase of 0.8 MB, as attributes of its lines."""
    said = {f"a-{each}": f"{each:0250}" for each in range(100)}
    lines = [{"id": str(line), "amount": 100, "attributes": said} for line in range(31)]
    return {**purchase(f"long-{number}", amount=3_100), "lines": lines}


async def test_a_turn_moves_few_long_lines_and_waits_until_they_are_published(
    here: Instance, member: str, others: Others
) -> None:
    others.silent = True
    published = Published()
    pump = pump_of(here, published)
    answer = await here.http.post(BATCHES, content=ndjson(long_basket(n) for n in range(LONG)), headers=NDJSON)
    assert answer.json()["received"] == LONG, answer.text
    assert await pump.turn() == (True, 5)
    assert await pump.turn() == (True, 0)
    published.is_so = True
    assert [await pump.turn() for _ in range(2)] == [(True, 5), (True, 2)]
    assert published.asked == 3
    await others.resume()


async def test_short_lines_move_together_and_wait_for_nobody(
    here: Instance, http: httpx.AsyncClient, projecting: Instance, member: str
) -> None:
    published = Published()
    pump = pump_of(here, published)
    answer = await http.post(BATCHES, content=ndjson(purchase(f"t-{n}") for n in range(300)), headers=NDJSON)
    while (await pump.turn())[0]:
        pass
    assert (await finished(http, answer.headers["location"]))["posted"] == 300
    assert published.asked == 0
