"""Each of the 104 examples has its place: a case that is played everywhere, a test, or a part that is not points."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from laurel.program.cases import load_cases
from tests.house.examples import COUNTS
from tests.program.played import NAMES

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([A-Z]{2}-\d+) \| (.+) \|$", re.MULTILINE)
RUNS = ("tests/points/domain/test_cases.py", "tests/flow/test_cases.py")
ELSEWHERE = {"settlement", "reports", "measures", "service recovery"}


def rows() -> dict[str, str]:
    found = ROW.findall((ROOT / "docs" / "examples.md").read_text("utf-8"))
    assert max(Counter(name for name, _ in found).values()) == 1
    return dict(found)


def cases() -> set[str]:
    """The examples that cases files name: `HT-1-star` and `CO-1 and CO-2` name HT-1, CO-1 and CO-2."""
    files = (ROOT / "programs").glob("*.cases.yaml")
    names = [case.case for file in files for case in load_cases(file.read_text("utf-8")).cases]
    return {found for name in names for found in re.findall(r"\b[A-Z]{2}-\d+", name)}


def test_all_of_them_are_there() -> None:
    assert Counter(name.partition("-")[0] for name in rows()) == COUNTS
    assert sum(COUNTS.values()) == 104


def test_each_is_proven_where_it_says() -> None:
    known = cases()
    for name, proof in rows().items():
        if proof == "case":
            assert name in known, f"no case is named {name}"
        elif proof not in ELSEWHERE:
            text = (ROOT / proof.strip("`")).read_text("utf-8")
            assert re.search(rf"\b{name}\b", text), f"{proof} does not name {name}"


def test_no_case_is_left_out() -> None:
    listed = rows()
    twelve = {name for name in cases() if name.partition("-")[0] in COUNTS}
    missing = {name for name in twelve if name not in listed or listed[name] in ELSEWHERE}
    # The bank has three more of its own.
    assert missing - {"BK-7", "BK-8", "BK-9"} == set()


def test_every_cases_file_is_played_in_both_runs() -> None:
    files = sorted(path.name.removesuffix(".cases.yaml") for path in (ROOT / "programs").glob("*.cases.yaml"))
    assert set(files) <= set(NAMES)
    for run in RUNS:
        # Neither has a list of its own, which would be shorter some day.
        text = (ROOT / run).read_text("utf-8")
        assert re.search(r"^from tests\.program\.played import .*\bNAMES\b", text, re.MULTILINE), run
        assert not re.search(r"^NAMES\b", text, re.MULTILINE), run
