from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.machine import describe
from benchmarks.results import bar, keep, show
from benchmarks.tpcb import PgbenchFailedError, transactions_per_second

SAID = """pgbench (18.1)
transaction type: <builtin: TPC-B (sort of)>
number of clients: 16
latency average = 3.970 ms
initial connection time = 30.405 ms
tps = 4029.857 (without initial connection time)
"""


def test_what_pgbench_says() -> None:
    assert transactions_per_second(SAID) == pytest.approx(4029.857)
    with pytest.raises(PgbenchFailedError):
        transactions_per_second("connection refused")


def test_rows_are_kept_beside_the_machine(tmp_path: Path) -> None:
    path = keep("points", [{"name": "points", "rate": 6_000}], tmp_path)
    keep("points", [{"name": "points", "rate": 7_000}], tmp_path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row.get("rate") for row in rows] == [None, 6_000, None, 7_000]
    assert rows[0]["machine"]["cores"] == describe()["cores"]
    assert path.name.endswith("-points.json")


def test_a_figure_beside_its_bar() -> None:
    assert bar("rate", 6_123.4, 6_000, unit="/s") == {
        "what": "rate",
        "measured": "6,123/s",
        "bar": "≥ 6,000/s",
        "reached": True,
    }
    assert bar("p50", 20.5, 20, at_most=True, unit=" ms")["reached"] is False
    assert bar("ratio", 1.756, 1.75)["measured"] == "1.76"
    sink = StringIO()
    show([{"name": "till", "bars": [bar("p50", 20.5, 20, at_most=True)]}], Console(file=sink, width=100))
    assert "not reached" in sink.getvalue()
