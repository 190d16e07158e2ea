"""A program that contradicts itself is refused before anything is published, each fault with its pointer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from laurel.cli.app import app_of
from laurel.program import ProgramFaults, load_program
from tests.program.samples import a_document
from tests.program.wrong import WRONG

RATE = {"rate": {"points": 1, "per": 100}}


@pytest.mark.parametrize("name", WRONG)
def test_it_is_found(name: str) -> None:
    document, pointer, code = WRONG[name]
    with pytest.raises(ProgramFaults) as found:
        load_program(document)
    assert [(fault.pointer, fault.code) for fault in found.value.faults] == [(pointer, code)]


@pytest.mark.parametrize("name", WRONG)
def test_the_command_line_finds_it(name: str, tmp_path: Path) -> None:
    document, pointer, code = WRONG[name]
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    answer = CliRunner().invoke(app_of(["program"]), ["program", "validate", str(file), "--json"])
    assert answer.exit_code == 1
    assert [(each["pointer"], each["code"]) for each in json.loads(answer.output)["errors"]] == [(pointer, code)]


@pytest.mark.parametrize(("name", "column"), [
    ("condition of the wrong type", 46),
    ("rule for a type that it does not cover", 15),
    ("rule for two things at once", 47),
])  # fmt: skip
def test_a_condition_is_wrong_at_a_column(name: str, column: int) -> None:
    with pytest.raises(ProgramFaults) as found:
        load_program(WRONG[name][0])
    assert found.value.faults[0].detail.startswith(f"column {column}: ")


@pytest.mark.parametrize("rule", [
    {"where": 'activity.type in ["flight", "purchase"]'},
    {"where": 'activity.type == "flight" || activity.channel == "app"'},
    {"where": 'activity.channel == "app" && activity.store == "web"'},
    {"where": 'activity.type != "flight"'},
])  # fmt: skip
def test_what_may_be_true_is_left_alone(rule: dict[str, Any]) -> None:
    load_program(a_document({**RATE, **rule}))


@pytest.mark.parametrize("before", [
    {"fixed": {"points": 5}, "limit": {"per": "day"}},
    {"fixed": {"points": 5}, "where": 'activity.channel == "app"'},
    {"fixed": {"points": 5}, "on": ["survey"]},
    {"rate": {"points": 1, "per": 100}},
    {"fixed": {"points": 5}, "priority": -1},
])  # fmt: skip
def test_what_may_be_reached_is_left_alone(before: dict[str, Any]) -> None:
    load_program(a_document({**before, "group": "g"}, {**RATE, "group": "g"}, groups={"g": {"stack": "first"}}))
