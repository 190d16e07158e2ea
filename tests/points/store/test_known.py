"""Which of the published versions judges what: by its start, and before any has started the first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from laurel.io.database import Database
from laurel.io.health import Health
from laurel.program import dump_program
from services.points.store.programs import KnownPrograms
from services.points.testing import FixedPrograms
from tests.points.till import document

pytestmark = pytest.mark.anyio


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)


async def known(database: Database, *starts: int) -> KnownPrograms:
    async with database.transaction() as connection:
        for version, start in enumerate(starts, 1):
            plain = {**dump_program(document("grocery")), "effective_from": year(start).isoformat()}
            await connection.execute(
                "insert into programs (program, version, document, effective_from, published_at) "
                "values ('grocery', $1, $2, $3, now())",
                version,
                msgspec.json.encode(plain),
                year(start),
            )
    topic: Any = None  # nobody waits for what is not there
    found = KnownPrograms(database, topic, Health())
    await found.load()
    return found


@pytest.mark.parametrize(
    ("starts", "judged"),
    [
        ((2020, 2024), {2019: 1, 2020: 1, 2023: 1, 2024: 2, 2030: 2}),
        # The one that comes later starts before the one that is planned.
        ((2020, 2028, 2024), {2023: 1, 2024: 3, 2027: 3, 2028: 2}),
        # Before its own start a version changes nothing, not even where the first has not started.
        ((2028, 2024), {2020: 1, 2023: 1, 2024: 2, 2027: 2, 2028: 1}),
        ((2024, 2024), {2020: 1, 2024: 2}),
    ],
)
async def test_a_version_judges_from_its_start(
    database: Database, starts: tuple[int, ...], judged: dict[int, int]
) -> None:
    book = await known(database, *starts)
    fake = FixedPrograms()
    for start in starts:
        fake.publish(document("grocery", effective_from=year(start).isoformat()))
    for programs in (book, fake):
        found = {number: programs.in_force("grocery", year(number), len(starts)) for number in judged}
        assert {number: version.version for number, version in found.items() if version is not None} == judged
        # Whoever was accepted under the first is judged by no other.
        first = programs.in_force("grocery", year(2030), 1)
        assert first is not None
        assert first.version == 1
        assert programs.in_force("grocery", year(2030), 0) is None
