"""Rows as the arrays of an unnest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from laurel.io.together import Statement


def columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Turn rows, of which there is at least one, into the arrays of an unnest."""
    return [list(column) for column in zip(*rows, strict=True)]


def of_rows(text: str, rows: Sequence[Sequence[Any]]) -> list[Statement]:
    """Return the statement that takes these rows; of no rows, none."""
    return [Statement(text, columns(rows))] if rows else []
