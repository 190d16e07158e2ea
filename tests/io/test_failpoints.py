"""Where a process fails is said exactly: the place, what is said or heard there, which visit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from laurel.io import failpoints
from laurel.io.failpoints import AFTER_COMMIT, BEFORE_COMMIT, FailpointReached, reach

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Event:
    type: str


HELD, CAPTURED = [Event("points.held.v1")], [Event("points.awarded.v1"), Event("points.captured.v1")]


@pytest.fixture(autouse=True)
def nothing_armed() -> Iterator[None]:
    yield
    failpoints._armed.clear()


async def test_a_type_is_waited_for_and_its_visits_are_counted() -> None:
    failpoints.arm_from_environment("before_commit@points.captured.v1:raise:2")
    for about in ([], HELD, CAPTURED, HELD):
        await reach(BEFORE_COMMIT, about)
    await reach(AFTER_COMMIT, CAPTURED)
    with pytest.raises(FailpointReached):
        await reach(BEFORE_COMMIT, iter(CAPTURED))
    await reach(BEFORE_COMMIT, CAPTURED)


async def test_without_a_type_every_visit_counts() -> None:
    failpoints.arm_from_environment("after_commit:raise:2")
    await reach(AFTER_COMMIT)
    with pytest.raises(FailpointReached):
        await reach(AFTER_COMMIT, HELD)


async def test_a_file_is_done_once_whenever_it_is_written(tmp_path: Path) -> None:
    order = tmp_path / "order"
    failpoints.arm_from_environment(f"file:{order}")
    await reach(AFTER_COMMIT, CAPTURED)
    for _ in range(2):
        order.write_text("after_commit@points.captured.v1:raise", encoding="utf-8")
        await reach(AFTER_COMMIT, HELD)
        await reach(BEFORE_COMMIT, CAPTURED)
        with pytest.raises(FailpointReached):
            await reach(AFTER_COMMIT, CAPTURED)
        assert not order.exists(), "who wrote it sees that the place was reached"
        await reach(AFTER_COMMIT, CAPTURED)


@pytest.mark.parametrize("wrong", ["nowhere:kill", "@points.held.v1:kill"])
async def test_there_is_no_such_place(wrong: str) -> None:
    with pytest.raises(ValueError, match="there is no failpoint"):
        failpoints.arm_from_environment(wrong)
