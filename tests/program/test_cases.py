"""Every shipped program awards what its cases file says, played on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from laurel.program import CompiledProgram, ProgramFaults, load_program
from laurel.program.cases import Case, cases_path, load_cases
from laurel.program.rehearsing import rehearse
from tests.program.played import PLAYED as FILES
from tests.program.played import SHIPPED as PROGRAMS
from tests.program.played import file_of


def _compiled(file: Path) -> CompiledProgram:
    return CompiledProgram.from_document(load_program(file.read_bytes(), file.stem), 1)


def _cases() -> list[tuple[Path, Case]]:
    return [(file, case) for file in FILES for case in load_cases(cases_path(file).read_text("utf-8")).cases]


def test_both_programs_are_shipped() -> None:
    assert {"grocery", "clubcard"} <= {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_cases_name_their_program(file: Path) -> None:
    assert load_cases(cases_path(file).read_text("utf-8")).program == file.stem


@pytest.mark.parametrize(("file", "case"), _cases(), ids=lambda part: getattr(part, "stem", None) or part.case)
def test_awards_what_the_case_says(file: Path, case: Case) -> None:
    assert rehearse(_compiled(file), case) == []


def test_a_case_that_expects_otherwise_says_where() -> None:
    file = PROGRAMS / "clubcard.yaml"
    text = cases_path(file).read_text("utf-8").replace("awards: {base: 22}", "awards: {base: 23}", 1)
    said = [line for case in load_cases(text).cases for line in rehearse(_compiled(file), case)]
    assert said == ["TC-1, step 3: awards {'base': 22}, expected {'base': 23}"]


def faults_of_steps(*steps: str) -> list[tuple[str, str]]:
    """Return where a case of these steps is wrong, and how."""
    head = ["program: p", "cases:", "  - case: a", "    says: b", "    steps:"]
    with pytest.raises(ProgramFaults) as found:
        load_cases("\n".join([*head, *(f"      - {step}" for step in steps)]))
    return [(fault.pointer, fault.code) for fault in found.value.faults]


def test_a_step_with_two_deeds_is_refused() -> None:
    assert faults_of_steps(
        '{wait_until: "2024-01-01T00:00:00Z", spend: {unit: point, amount: 1, at: "2024-01-01T00:00:00Z"}, expect: {}}',
        '{wait_until: "2024-01-01T00:00:00", expect: {}}',
    ) == [
        ("/cases/0/steps/0", "one_of"),
        ("/cases/0/steps/1/wait_until", "naive_time"),
    ]


def test_a_member_whom_nobody_knows_is_refused() -> None:
    step = '{transfer: {to: m-2, unit: point, amount: 1, at: "2024-01-01T00:00:00Z"}, expect: {}}'
    assert faults_of_steps(step) == [("/cases/0", "unknown_reference")]


def test_what_others_have_is_compared() -> None:
    file = file_of("family")
    text = cases_path(file).read_text("utf-8").replace("m-2: {point: {available: 60}}", "m-2: {point: {available: 61}}")
    said = [line for case in load_cases(text).cases for line in rehearse(_compiled(file), case)]
    assert said[0] == "FA-1, step 4: balances of m-2 point available is 60, expected 61"
