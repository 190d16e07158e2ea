"""What programs must award, played through HTTP, Kafka and Postgres: each case on a copy with a clock of its own."""

from __future__ import annotations

import pytest

from laurel.program.cases import cases_path, load_cases
from laurel.program.reading import read_yaml
from tests.flow.playing import Played
from tests.flow.stage import Town, gather_bounded
from tests.program.played import PLAYED, file_of
from tests.program.played import SHIPPED as PROGRAMS

pytestmark = pytest.mark.anyio


NAMES = [file.stem for file in PLAYED]


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
