"""What a fresh clone needs is there, and says what it does."""

from __future__ import annotations

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


def plain(requirement: str) -> str:
    """The normalised name that a requirement is about."""
    name = re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


EXTRAS = PROJECT["optional-dependencies"].values()
REQUIRED = sorted({plain(r) for r in chain(PROJECT["dependencies"], *EXTRAS)})


@pytest.mark.parametrize("requirement", REQUIRED)
def test_requirement_is_pinned(requirement: str) -> None:
    assert requirement in {plain(name) for name in PINS}


def test_pins_are_exact() -> None:
    assert all(re.fullmatch(r"[0-9][0-9a-z.+]*", version) for version in PINS.values())


def test_make_explains_itself() -> None:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("up", "demo", "test", "test-kafka", "bench", "lint", "types", "check", "clean"):
        assert re.search(rf"^  {target} +\S", said, re.MULTILINE), said


def test_ci_is_a_script_that_parses() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)
    text = script.read_text(encoding="utf-8")
    for step in ("make test", "lint", "types", "imports", "contracts", "test-kafka"):
        assert step in text


def test_packages_carry_their_data() -> None:
    from laurel.embedded.publishing import program_files
    from laurel.io.migrating import SCHEMAS, migrations_dir

    programs = [file.stem for file in program_files()]
    assert {"grocery", "clubcard"} <= set(programs)
    assert len(programs) == len(set(programs))
    for schema in SCHEMAS:
        assert (migrations_dir() / schema / "env.py").is_file()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"])
def test_papers_are_there(name: str) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8")) > 200
