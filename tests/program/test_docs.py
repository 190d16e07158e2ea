"""The examples of docs/programs.md are valid and award what they say."""

from __future__ import annotations

import re
from pathlib import Path

from laurel.program import CompiledProgram, load_program
from laurel.program.cases import load_cases
from laurel.program.compiled import REASONS
from laurel.program.rehearsing import rehearse

PAGE = (Path(__file__).parents[2] / "docs" / "programs.md").read_text("utf-8")


def test_the_documented_program_awards_what_its_case_says() -> None:
    document, cases = [
        text for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if not text.startswith("# a part")
    ]
    program = CompiledProgram.from_document(load_program(document), 1)
    assert [said for case in load_cases(cases).cases for said in rehearse(program, case)] == []


def test_every_reason_is_documented() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| (?:yes|no) \|", PAGE, re.MULTILINE)) == set(REASONS)
