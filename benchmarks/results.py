"""Results as JSON lines, one file a run and name, and as a table for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import ROOT, commit, describe

FOLDER = ROOT / "benchmarks" / "results"
_FAULTS_MAX = 20


def keep(name: str, rows: Iterable[Mapping[str, Any]], folder: Path = FOLDER) -> Path:
    """Write rows to `<date>-<commit>-<name>.json`, the machine in the first line; a second run of a day is appended."""
    folder.mkdir(parents=True, exist_ok=True)
    day = datetime.now(UTC).date().isoformat()
    path = folder / f"{day}-{commit().replace('+', '-changed')}-{name}.json"
    with path.open("a", encoding="utf-8") as sink:
        for row in ({"machine": describe()}, *map(_bounded, rows)):
            sink.write(json.dumps(row) + "\n")
    return path


def _bounded(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keep the first faults only: one kind of fault has been seen two hundred thousand times."""
    faults = row.get("faults", [])
    if len(faults) <= _FAULTS_MAX:
        return row
    return {**row, "faults": [*faults[:_FAULTS_MAX], f"and {len(faults) - _FAULTS_MAX:,} more"]}


def show(rows: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Print what was measured beside its bar."""
    table = Table("what", "measured", "bar", "", box=None, padding=(0, 2))
    for row in rows:
        for line in row.get("bars", ()):
            mark = "[green]reached[/green]" if line["reached"] else "[red]not reached[/red]"
            table.add_row(row["name"] + ": " + line["what"], line["measured"], line["bar"], mark)
        if row.get("faults"):
            table.add_row(row["name"] + ": faults", f"{len(row['faults']):,}", "0", "[red]not reached[/red]")
    console.print(table)


def bar(what: str, measured: float, wanted: float, *, at_most: bool = False, unit: str = "") -> dict[str, Any]:
    """Compare a figure with its bar."""
    reached = measured <= wanted if at_most else measured >= wanted
    sign = "≤" if at_most else "≥"
    return {
        "what": what,
        "measured": f"{_figure(measured)}{unit}",
        "bar": f"{sign} {_figure(wanted)}{unit}",
        "reached": reached,
    }


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}".rstrip("0").rstrip(".")
