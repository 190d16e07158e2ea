"""CI tries a test that failed once more: the second try is told apart from the first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

pytestmark = pytest.mark.anyio
towns = []

@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"

@pytest.fixture(scope="module")
async def town():
    towns.append(set())
    yield towns[-1]
    print("a town ends")

@pytest.fixture(scope="module")
async def village(town):
    yield town

async def test_enrols(village):
    assert "m-1" not in village, "already there"
    village.add("m-1")
    assert len(towns) > 1, "the first cause"

async def test_goes_on(village):
    assert village == {"m-1"}
    assert len(towns) == 2
"""


@pytest.mark.parametrize("first_of", [TESTS, TESTS.partition("async def test_goes_on")[0]], ids=["more follow", "last"])
def test_the_second_try_has_a_town_of_its_own(tmp_path: Path, first_of: str) -> None:
    (tmp_path / "test_town.py").write_text(first_of, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "tests.trying_again", "-p", "no:cacheprovider"]
    told = subprocess.run(
        [*command, "--reruns", "1", "-rR", "test_town.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stdout
    assert "1 rerun" in told.stdout
    assert "already there" not in told.stdout
    assert told.stdout.count("a town ends") == 2
