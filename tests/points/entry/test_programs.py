"""Programs that come, come late, or cannot be read, beside a whole worker."""

from __future__ import annotations

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
