"""A worker dies, as by power loss, between any two steps of a saga; another one takes over."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from laurel.embedded.children import Child
from services.redemption.settings import RedemptionSettings
from services.redemption.testing import redemption_requested, reward_published
from tests.flow.nursery import Nursery
from tests.redemption.stage import Stage

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

BUYERS = 12
PIECES = 5


@asynccontextmanager
async def process(
    settings: RedemptionSettings, place: Path, forks: Nursery | None, failpoint: str = ""
) -> AsyncIterator[Child]:
    """Run a worker as a process of its own."""
    given = {
        "secret": settings.secret.get_secret_value(),
        "database_url": settings.database_url.get_secret_value(),
        "kafka_bootstrap": settings.kafka_bootstrap,
        "kafka_prefix": settings.kafka_prefix,
        "kafka_session_timeout_ms": str(settings.kafka_session_timeout_ms),
        "wait_timer_seconds": "30",
        "http_port": "0",
    }
    environment = {**os.environ, **{f"LAUREL_REDEMPTION_{name.upper()}": value for name, value in given.items()}}
    environment.pop("LAUREL_FAILPOINT", None)
    if failpoint:
        environment["LAUREL_FAILPOINT"] = failpoint
    log = place / "redemption.log"
    if forks is not None:
        worker: Child = forks.start("redemption", "redemption", "worker", log, environment)
    else:
        command = [sys.executable, "-m", "services.redemption", "worker"]
        worker = Child("redemption", command, log=log, environment=environment)
    try:
        yield worker
    finally:
        worker.stop()


# The first commits are those of the timer and of the reward; then stock is reserved, then vouchers are made.
@pytest.mark.parametrize(
    "failpoint",
    [
        "before_commit:kill:3",
        "after_commit:kill:3",
        "after_commit:kill:4",
        "after_publish:kill:2",
        "after_mark:kill:1",
        "before_offsets:kill:2",
    ],
)
async def test_worker_dies_and_nothing_is_lost_or_done_twice(
    stage: Stage, settings: RedemptionSettings, forks: Nursery | None, tmp_path: Path, failpoint: str
) -> None:
    buyers = [f"m-{n}" for n in range(BUYERS)]
    stage.points.balances = dict.fromkeys(buyers, 100)
    async with process(settings, tmp_path, forks, failpoint) as doomed:
        await stage.tell(reward_published(stock=PIECES))
        await stage.until(lambda: stage.of("reward.published.v1") or not doomed.running)
        await stage.tell(*[redemption_requested(member, f"r-{member}") for member in buyers])
        await stage.until(lambda: not doomed.running)
        assert doomed.exit_code == -signal.SIGKILL, doomed.last_words()
    async with process(settings, tmp_path, forks):
        await stage.until_all_ended(BUYERS)
        await stage.until(lambda: len(_outcomes(stage)) == BUYERS)
        await stage.until(lambda: stage.auditor.fetchval("select count(*) = 0 from outbox_open"))
    assert set(_outcomes(stage).values()) == {1}
    assert len(stage.of("redemption.fulfilled.v1")) == PIECES
    assert sum(stage.points.balances.values()) == (BUYERS - PIECES) * 100
    assert Counter(state for state, _ in stage.points.holds.values()) == {"captured": PIECES}
    assert await stage.findings() == []


def _outcomes(stage: Stage) -> Counter[str]:
    ends = ("redemption.fulfilled.v1", "redemption.refused.v1")
    return Counter(msgspec.json.decode(message.body)["redemption"] for message in stage.heard if message.type in ends)
