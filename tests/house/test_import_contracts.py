"""Who may import whom: every contract holds, and every contract bites."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")

CONTRACTS: dict[str, str] = {
    contract["id"]: contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
}

PLANTED = [
    ("services-apart", "services/points/road.py", "import services.redemption.domain"),
    ("services-apart", "services/gateway/naming.py", "import services.points.domain"),
    ("laurel-below", "laurel/io/unit.py", "import services.points.domain"),
    ("pure-laurel", "laurel/values.py", "import asyncpg"),
    ("pure-laurel", "laurel/program/loading.py", "import laurel.io.database"),
    ("pure-laurel", "laurel/contracts/envelope.py", "import fastapi"),
    ("road-layers", "services/points/domain/holding.py", "import services.points.road"),
    ("road-layers", "services/points/road.py", "import services.points.store"),
    ("road-layers", "services/redemption/deciders.py", "import services.redemption.announcing"),
    ("road-layers", "services/redemption/store/tables.py", "import services.redemption.entry"),
    ("pure-rooms", "services/points/domain/holding.py", "import laurel.io.database"),
    ("pure-rooms", "services/points/road.py", "import sqlalchemy"),
    ("pure-rooms", "services/redemption/deciders.py", "import aiokafka"),
    ("edges-below", "laurel/io/database.py", "import laurel.embedded.postgres"),
    ("edges-below", "services/gateway/naming.py", "import laurel.cli.app"),
    ("gateway-layers", "services/gateway/store/tables.py", "import services.gateway.routes"),
]


def lint(tree: Path, contract: str) -> tuple[bool, str]:
    """Whether a contract is kept, and what was said."""
    done = subprocess.run(
        [str(LINT_IMPORTS), "--no-cache", "--contract", contract],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources alone, to plant something in."""
    for package in ("laurel", "services"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.json"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("contract", sorted(CONTRACTS))
def test_contract_is_kept(contract: str) -> None:
    kept, said = lint(ROOT, contract)
    assert kept, said


@pytest.mark.parametrize(("contract", "file", "line"), PLANTED)
def test_planted_import_is_found(copy: Path, contract: str, file: str, line: str) -> None:
    target = copy / file
    assert target.is_file(), f"{file} is gone; plant the import elsewhere"
    with target.open("a", encoding="utf-8") as source:
        source.write(f"\n{line}\n")
    kept, said = lint(copy, contract)
    assert not kept, said
    importer = file.removesuffix(".py").replace("/", ".")
    imported = line.removeprefix("import ")
    # The import that was planted, not some other that happens to be wrong.
    assert f"{importer} -> {imported}" in said, said


def test_every_contract_has_a_planted_import() -> None:
    assert {contract for contract, _, _ in PLANTED} == set(CONTRACTS)
