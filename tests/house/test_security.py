"""The table of risks names a test for each, and those tests are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_risk_has_a_test_that_is_there() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (API\d+) .*$", text, re.MULTILINE)
    assert rows == [f"API{number}" for number in range(1, 11)]
    for line in text.splitlines():
        if not line.startswith("| API"):
            continue
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", line)
        assert named, line
        for path, test in named:
            source = (ROOT / path).read_text(encoding="utf-8")
            assert not test or f"def {test}(" in source, f"{path}::{test}"
