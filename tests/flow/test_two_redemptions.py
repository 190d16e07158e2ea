"""Of two instances of redemption one stands still with work in hand; the other takes it over, and both go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import product

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.halting import Halting, Step
from tests.flow.nursery import Nursery
from tests.flow.redeemers import redeeming

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

PARTS = {"gateway": "both", "points": "both", "redemption": "both", "redemption-2": "worker"}
PLACES = (
    "before_commit@hold.requested.v1",
    "after_commit@redemption.fulfilled.v1",
    "before_commit@hold.cancel_requested.v1",
    "before_commit@voucher.redeemed.v1",
)


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Halting]:
    told = {"outside_private_addresses": "true", "outside_plain_http": "true"}
    async with Halting(tmp_path_factory.mktemp("town"), town_urls, town_kafka, PARTS, forks, **told).open() as town:
        yield town


async def test_who_stood_still_for_too_long_does_nothing_twice(town: Halting) -> None:
    # Twice as long as the broker waits for a sign of life; then what it held is another's.
    given_up = 2 * town.kafka.kafka_session_timeout_ms / 1000
    both = ("redemption", "redemption-2")
    async with redeeming(town, "standing"):
        # Each at each place: which of them finds the other's work done depends on what it had in hand.
        for turn, place in product(range(2), PLACES):
            who = both[(turn + PLACES.index(place)) % 2]
            await town.reach(Step(who, place))
            await asyncio.sleep(given_up)
            town.go_on(who)
    assert all([await town.metric(who, "laurel_messages_total", outcome="applied") > 0 for who in both])
    repeated = [await town.metric(who, "laurel_messages_total", outcome="repeated") for who in both]
    assert all(count > 0 for count in repeated), f"each had some of the other's work: {repeated}"
