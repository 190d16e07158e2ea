"""What programs must award, played through HTTP, Kafka and Postgres: each case on a copy with a clock of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from laurel.program.cases import cases_path, load_cases
from laurel.program.reading import read_yaml
from tests.flow.playing import Played
from tests.flow.published import Published
from tests.flow.stage import Town, gather_bounded
from tests.program.played import NAMES, file_of
from tests.program.played import SHIPPED as PROGRAMS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("program", NAMES)
async def test_a_program_awards_what_its_cases_say(town: Town, program: str) -> None:
    file = file_of(program)
    assert read_yaml(file.read_text("utf-8"))["program"] == program  # type: ignore[index]
    answer = await town.door().http.put(
        f"/v1/programs/{program}", content=file.read_bytes(), headers={"content-type": "application/yaml"}
    )
    assert answer.status_code == 201, answer.text
    cases = load_cases(cases_path(file).read_text("utf-8")).cases
    played = await gather_bounded([Played(town, program, case).play for case in cases], 8)
    assert "\n".join(said for found in played for said in found) == ""
    await town.prove()


async def test_a_case_that_expects_otherwise_says_where(town: Town) -> None:
    file = PROGRAMS / "clubcard.yaml"
    await town.door().http.put(
        "/v1/programs/clubcard", content=file.read_bytes(), headers={"content-type": "application/yaml"}
    )
    case = load_cases(cases_path(file).read_text("utf-8")).cases[0]
    wrong = case.model_copy(
        update={
            "steps": (
                case.steps[0].model_copy(
                    update={"expect": case.steps[0].expect.model_copy(update={"awards": {"base": 38}})}
                ),
            )
        }
    )
    found = await Played(town, "clubcard", wrong).play()
    assert found == ["TC-1, step 1: awards {'base': 37}, expected {'base': 38}"]


async def test_everything_that_was_said_is_as_it_is_published(town: Town) -> None:
    """By the document that the gateway hands out, as listeners hear it."""
    heard = [event async for event in _heard(town)]
    assert Published((await town.door().http.get("/asyncapi.json")).json()).faults(heard) == ""
    said = {event["type"] for event in heard}
    assert said >= {"points.awarded.v1", "points.clawed_back.v1", "tier.changed.v1", "member.enrolled.v1"}
    assert len(said) > 20, said


async def _heard(town: Town) -> AsyncIterator[Any]:
    """Tell all events from the first, as a listener hears them."""
    ((last,),) = await town.rows("select position from gateway.event_head")
    async with town.door().http.stream("GET", "/v1/events/stream", headers={"last-event-id": "0"}) as answer:
        assert answer.status_code == 200
        position = 0
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                position = int(value)
            elif name == "data":
                yield json.loads(value)
            elif not line and position >= last:
                return
