"""What `docs/rules.md` names as proof of a rule is there, and no case is in neither of the two tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from laurel.program.cases import load_cases
from tests.house.examples import COUNTS

ROOT = Path(__file__).parents[2]
PROOF = re.compile(r"`([^`]+)`")
OF_AN_EXAMPLE = re.compile(rf"(?:{'|'.join(COUNTS)})-\d+[a-z]?\b")


def proofs() -> list[str]:
    rows = re.findall(r"^\| .+ \| (`.+`) \|$", (ROOT / "docs" / "rules.md").read_text("utf-8"), re.MULTILINE)
    return [proof for row in rows for proof in PROOF.findall(row)]


def cases() -> set[str]:
    return {
        f"{path.name.removesuffix('.cases.yaml')}: {case.case}"
        for path in (ROOT / "programs").glob("*.cases.yaml")
        for case in load_cases(path.read_text("utf-8")).cases
    }


def is_there(proof: str, known: set[str]) -> bool:
    file, _, name = proof.partition("::")
    if not name:
        return proof in known
    path = ROOT / file
    return (
        path.is_file()
        and re.search(rf"^(?:async )?def {re.escape(name)}\(", path.read_text("utf-8"), re.MULTILINE) is not None
    )


def test_what_is_named_is_there() -> None:
    known = cases()
    assert len(proofs()) > len(COUNTS)
    assert [proof for proof in proofs() if not is_there(proof, known)] == []


def test_each_case_is_in_one_of_the_tables() -> None:
    named = set(proofs())
    # `grocery` is none of the twelve.
    others = {case for case in cases() if not case.startswith("grocery: ")}
    assert {case for case in others if case not in named and not OF_AN_EXAMPLE.match(case.partition(": ")[2])} == set()


@pytest.mark.parametrize("proof", ["gm-card: GM-0", "tests/nowhere.py::test_it", "tests/house/test_rules.py::test_it"])
def test_what_is_not_there_is_noticed(proof: str) -> None:
    assert not is_there(proof, cases())
