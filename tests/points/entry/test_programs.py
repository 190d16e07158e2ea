"""Programs that come, come late, or cannot be read, beside a whole worker."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from laurel.io.migrating import DatabaseUrls
from services.points.settings import PointsSettings
from services.points.testing import Note
from tests.points.stage import PROGRAM, Stage, at_work, body
from tests.points.till import START, enrolment, purchase, report

pytestmark = pytest.mark.anyio


def bought(member: str, id_: str, *, program: str = PROGRAM, version: int = 1) -> Note:
    return report(program, member, purchase(id_, 1000), START, version=version)


def awarded(stage: Stage) -> set[tuple[str, int]]:
    return {(each.member, body(each)["awards"][0]["amount"]) for each in stage.of("points.awarded.v1")}


@pytest.mark.parametrize("kind", ["no JSON", "no event", "unknown key", "another's", "no number"])
async def test_program_that_cannot_be_read_stops_no_other(stage: Stage, settings: PointsSettings, kind: str) -> None:
    match kind:
        case "no JSON":
            await stage.publish_bytes(2, b"{")
        case "no event":
            await stage.publish_bytes(2, b'{"program": "clubcard"}')
        case "another's":
            await stage.publish(1, "theirs", key=f"{PROGRAM}:2")
        case "no number":
            await stage.publish(2**40)
        case _:
            await stage.publish(2, seasons=["of a newer gateway"])
    await stage.publish(3)
    await stage.publish(1, "other")
    async with at_work(settings) as health:
        await stage.enrol("m-1")
        await stage.tell(enrolment("other", "o-1"), bought("o-1", "b-1", program="other"), bought("m-1", "b-2"))
        await stage.until(lambda: len(stage.of("points.awarded.v1")) == 2)
        await stage.until(lambda: health.is_ready)
        told = health.report()["details"]
    assert isinstance(told, dict)
    assert told["programs"].startswith("1 records are laid aside, first ")
    assert awarded(stage) == {("o-1", 10), ("m-1", 10)}


async def test_program_kept_by_a_newer_release_does_not_stop_an_older_one_from_starting(
    stage: Stage, settings: PointsSettings, database_urls: DatabaseUrls
) -> None:
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute(
        "insert into points.programs (program, version, document, effective_from, published_at) "
        "values ('newer', 1, $1, now(), now())",
        b'{"program": "newer", "seasons": 4}',
    )
    await owner.close()
    async with at_work(settings) as health:
        await stage.enrol("m-1")
        details = health.report()["details"]
        assert isinstance(details, dict)
        assert "newer:1" in details["programs"]


def hasty(settings: PointsSettings) -> PointsSettings:
    return settings.model_copy(update={"program_wait_seconds": 0.5})


DOUBLE = [{"rule": "base", "on": ["purchase"], "unit": "point", "rate": {"points": 2, "per": 100},
           "funding": {"funder": "tesco"}}]  # fmt: skip


async def test_activity_that_overtakes_its_program_a_little_is_waited_for(
    stage: Stage, settings: PointsSettings
) -> None:
    async with at_work(settings):
        await stage.enrol("m-1")
        await stage.tell(bought("m-1", "b-1", version=2))
        await asyncio.sleep(0.5)
        await stage.publish(2, earning=DOUBLE)
        await stage.until(lambda: stage.of("points.awarded.v1"))
    assert awarded(stage) == {("m-1", 20)}
    assert not await stage.auditor.fetchval("select count(*) from points.outbox where type like 'message.%'")


async def test_version_that_does_not_come_keeps_only_those_who_carry_it(stage: Stage, settings: PointsSettings) -> None:
    await stage.publish(1, "other")
    async with at_work(hasty(settings)) as health:
        await stage.enrol("m-1", "m-2", "m-3")
        await stage.tell(enrolment("other", "o-1"))
        await stage.tell(
            bought("m-1", "b-1", version=2), bought("m-1", "b-2"), bought("m-2", "b-3"),
            bought("m-3", "b-4", version=99), bought("o-1", "b-5", program="other"),
        )  # fmt: skip
        await stage.until(lambda: awarded(stage) == {("m-2", 10), ("o-1", 10)})
        await stage.until(lambda: stage.auditor.fetchval("select count(*) = 3 from points.parked"))
        unknown = "program_version_unknown"
        assert await stage.parked() == [("m-1", 2, unknown), ("m-1", 3, "behind"), ("m-3", 2, unknown)]
        assert health.is_ready

        # Once it was waited for in vain, the next one who carries it holds nobody up.
        started = time.monotonic()
        await stage.tell(*[bought("m-3", f"c-{n}", version=99) for n in range(5)])
        await stage.tell(*[bought("o-1", f"d-{n}", program="other") for n in range(5)])
        await stage.until(lambda: len(stage.of("points.awarded.v1")) == 7)
        assert time.monotonic() - started < 5

        await stage.publish(2, earning=DOUBLE)
        await stage.until(lambda: len(stage.of("points.awarded.v1")) == 9)
        assert awarded(stage) >= {("m-1", 20), ("m-1", 10)}
        assert {each[0] for each in await stage.parked()} == {"m-3"}
    assert await stage.findings() == []


async def test_worker_that_knows_the_version_takes_up_what_another_one_parked(
    stage: Stage, settings: PointsSettings
) -> None:
    async with at_work(hasty(settings)):
        await stage.enrol("m-1")
        await stage.publish(2, seasons=["of a newer gateway"])
        await stage.publish(3)
        await stage.tell(bought("m-1", "b-1", version=3))
        await stage.until(stage.parked)
        # Not judged by version 3 either: version 2 could be the one in force.
        assert await stage.parked() == [("m-1", 2, "program_version_unknown")]
    # The newer release reads the same record; here it is one that can be read.
    await stage.publish(2, earning=DOUBLE)
    async with at_work(hasty(settings)):
        await stage.until(lambda: stage.of("points.awarded.v1"))
        await stage.until(lambda: stage.auditor.fetchval("select count(*) = 0 from points.parked"))
    assert await stage.findings() == []
