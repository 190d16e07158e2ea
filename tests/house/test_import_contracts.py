"""Who may import whom: every contract holds, and every contract bites."""

from __future__ import annotations

import os
import re
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


def lint(tree: Path) -> str:
    """Return what is said of all contracts, of the broken ones with the imports."""
    # Most of it is reading the sources, so one look serves all contracts. In a narrow terminal it would break names.
    done = subprocess.run(
        [str(LINT_IMPORTS), "--no-cache"],
        cwd=tree,
        env={**os.environ, "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def verdict(said: str, contract: str) -> str:
    """Return `KEPT` or `BROKEN`."""
    found = re.findall(rf"^{re.escape(CONTRACTS[contract])} (KEPT|BROKEN)$", said, re.MULTILINE)
    assert len(found) == 1, said
    return str(found[0])


def told_of(said: str, contract: str) -> str:
    """Return what stands under the heading of a broken contract."""
    parts = re.split(r"^(.+)\n-+\n", said.partition("\nBroken contracts\n")[2], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[CONTRACTS[contract]]


@pytest.fixture(scope="module")
def as_it_is() -> str:
    return lint(ROOT)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What is said of a copy of the sources in which every import of the table is planted."""
    copy = tmp_path_factory.mktemp("planted")
    for package in ("laurel", "services"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.json"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for _, file, line in PLANTED:
        target = copy / file
        assert target.is_file(), f"{file} is gone; plant the import elsewhere"
        with target.open("a", encoding="utf-8") as source:
            source.write(f"\n{line}\n")
    return lint(copy)


@pytest.mark.parametrize("contract", sorted(CONTRACTS))
def test_contract_is_kept(as_it_is: str, contract: str) -> None:
    assert verdict(as_it_is, contract) == "KEPT", as_it_is


@pytest.mark.parametrize(("contract", "file", "line"), PLANTED)
def test_planted_import_is_found(planted: str, contract: str, file: str, line: str) -> None:
    assert verdict(planted, contract) == "BROKEN"
    importer = file.removesuffix(".py").replace("/", ".")
    imported = line.removeprefix("import ")
    # Under the contract's own heading: another one may forbid the same import.
    assert f"{importer} -> {imported}" in told_of(planted, contract), planted


def test_every_contract_has_a_planted_import() -> None:
    assert {contract for contract, _, _ in PLANTED} == set(CONTRACTS)
