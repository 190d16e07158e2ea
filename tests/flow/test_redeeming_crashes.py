"""Redemption, points, gateway, broker and Postgres die at every step of a redemption, alone and in pairs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import combinations, cycle, pairwise
from pathlib import Path

import pytest

from laurel.embedded.broker import EmbeddedBroker
from laurel.testing.real_kafka import RealKafka
from tests.flow.breaking import VICTIMS, Breakable, breakable
from tests.flow.conftest import kafka_settings
from tests.flow.halting import Step
from tests.flow.nursery import Nursery
from tests.flow.redeemers import redeeming

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

PARTS = {"gateway": "both", "points": "both", "redemption": "both"}
# Between the first word of a caller and the last that anybody hears of it, in the order of a redemption's life.
STEPS = {
    "asked": Step("gateway", "after_commit@redemption.requested.v1"),
    "holding, in the making": Step("redemption", "before_commit@hold.requested.v1"),
    "holding": Step("redemption", "after_commit@hold.requested.v1"),
    "held by points": Step("points", "after_commit@points.held.v1"),
    "not held by points": Step("points", "after_commit@points.hold_refused.v1"),
    "refused": Step("redemption", "after_commit@redemption.refused.v1"),
    "held for later": Step("redemption", "after_commit@redemption.held.v1"),
    "confirmation asked": Step("gateway", "after_commit@redemption.confirm_requested.v1"),
    "a partner to be asked": Step("redemption", "after_commit@redemption.fulfilling.v1"),
    "a partner has answered": Step("redemption", "after_partner"),
    "fulfilled, in the making": Step("redemption", "before_commit@redemption.fulfilled.v1"),
    "fulfilled": Step("redemption", "after_commit@redemption.fulfilled.v1"),
    "fulfilled, announced": Step("redemption", "after_publish@redemption.fulfilled.v1"),
    "shown": Step("gateway", "before_commit@redemption.fulfilled.v1"),
    "captured": Step("points", "after_commit@points.captured.v1"),
    "capture seen": Step("redemption", "after_commit@points.captured.v1"),
    "cancellation asked": Step("gateway", "after_commit@redemption.cancel_requested.v1"),
    "letting go": Step("redemption", "after_commit@hold.release_requested.v1"),
    "let go": Step("points", "after_commit@points.released.v1"),
    "taking back": Step("redemption", "after_commit@hold.cancel_requested.v1"),
    "given back": Step("points", "after_commit@points.restored.v1"),
    "cancelled": Step("redemption", "after_commit@redemption.cancelled.v1"),
    "use asked": Step("gateway", "after_commit@voucher.redeem_requested.v1"),
    "used, in the making": Step("redemption", "before_commit@voucher.redeemed.v1"),
    "used": Step("redemption", "after_commit@voucher.redeemed.v1"),
    "use undone": Step("redemption", "after_commit@voucher.undone.v1"),
}


@pytest.fixture(scope="module")
async def town(
    reachable_dir: Path,
    mortal_broker: EmbeddedBroker | RealKafka,
    session_timeout_ms: int,
    forks: Nursery | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Breakable]:
    place = tmp_path_factory.mktemp("town")
    told = {"outside_private_addresses": "true", "outside_plain_http": "true"}
    kafka = kafka_settings(mortal_broker.bootstrap, session_timeout_ms)
    async with breakable(place, reachable_dir / "breaking", mortal_broker, kafka, forks, PARTS, **told) as town:
        yield town


def steps_of(victim: str) -> list[str]:
    """A fifth of the steps for each who may die, so that at every step somebody does."""
    return list(STEPS)[VICTIMS.index(victim) :: len(VICTIMS)]


@pytest.mark.kafka
@pytest.mark.parametrize("victim", VICTIMS)
async def test_at_every_step_somebody_dies_and_nothing_is_lost_or_done_twice(town: Breakable, victim: str) -> None:
    async with redeeming(town, f"some-{victim}"):
        for step in steps_of(victim):
            await town.die_at(STEPS[step], victim)
            await town.revive(victim)


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
async def test_everybody_dies_at_every_step(town: Breakable, victim: str) -> None:
    async with redeeming(town, f"all-{victim}"):
        for step in [each for each in STEPS if each not in steps_of(victim)]:
            await town.die_at(STEPS[step], victim)
            await town.revive(victim)


@pytest.mark.slow
@pytest.mark.parametrize("pair", list(combinations(VICTIMS, 2)), ids="-".join)
async def test_two_die_together_at_every_step(town: Breakable, pair: tuple[str, str]) -> None:
    async with redeeming(town, "both-" + "-".join(pair)):
        for step in STEPS.values():
            await town.die_at(step, *pair)
            await town.revive(*pair)


@pytest.mark.slow
@pytest.mark.parametrize("first", VICTIMS)
async def test_one_dies_at_a_step_and_another_before_it_is_back(town: Breakable, first: str) -> None:
    """Each pair of steps that follow each other, and each of the others in turn as the second."""
    others = cycle(victim for victim in VICTIMS if victim != first)
    async with redeeming(town, f"after-{first}"):
        for (step, later), second in zip(pairwise(STEPS.values()), others, strict=False):
            await town.die_at(step, first)
            await town.revive(first)
            await town.die_at(later, second)
            await town.revive(second)
