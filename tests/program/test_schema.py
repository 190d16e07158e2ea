"""The committed JSON Schema is the generated one, and takes what load_program takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from laurel.program import dump_program, load_program
from laurel.program.schema import SCHEMA_FILE, json_schema, main, written
from tests.program.samples import a_document

PROGRAMS = Path(__file__).parents[2] / "programs"


def test_the_committed_schema_is_the_generated_one() -> None:
    assert SCHEMA_FILE.read_text("utf-8") == written()
    assert main(["--check"]) == 0


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("name", sorted(path.stem for path in PROGRAMS.glob("*.yaml") if "." not in path.stem))
def test_the_schema_takes_the_shipped_programs(name: str) -> None:
    document = dump_program(load_program((PROGRAMS / f"{name}.yaml").read_bytes()))
    assert list(Draft202012Validator(json_schema()).iter_errors(document)) == []


@pytest.mark.parametrize("key", ["colour", "Clock"])
def test_the_schema_refuses_unknown_keys(key: str) -> None:
    document = {**json.loads(json.dumps(a_document())), key: 1}
    assert list(Draft202012Validator(json_schema()).iter_errors(document))
