"""What is written, column by column, and the statements that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

_NUMBERS: Final = frozenset({"bigint", "integer", "smallint"})


@dataclass(frozen=True, eq=False)
class Written:
    """A table as it is written. `totals`: the columns that are set anew where the row (by its `key`) is there."""

    name: str
    columns: dict[str, str]
    key: tuple[str, ...] = ()
    totals: tuple[str, ...] = ()

    @property
    def names(self) -> Sequence[str]:
        return tuple(self.columns)

    @cached_property
    def insert(self) -> str:
        """Return the insert of rows that come as one array a column.

        Where rows are there it updates them, by key whatever the planner believes of a young table: an update that
        joins has been seen to walk it once for every key, and to keep that plan.
        """
        arrays = ", ".join(_array(number, kind) for number, kind in enumerate(self.columns.values(), 1))
        text = f"insert into {self.name} ({', '.join(self.columns)}) select * from unnest({arrays})"
        if not self.totals:
            return text
        changes = ", ".join(f"{column} = excluded.{column}" for column in self.totals)
        return f"{text} on conflict ({', '.join(self.key)}) do update set {changes}"

    def parameters(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return what `insert` takes of rows.

        Numbers go as the text of one array: asyncpg asks of every item of an array whether it is an array itself, which
        costs more than to write it. A column of nothing but nulls goes as an array of nothing, for `unnest` fills up.
        """
        columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(self.columns)
        return [_parameter(kind, column) for kind, column in zip(self.columns.values(), columns, strict=True)]


def _array(number: int, kind: str) -> str:
    return f"${number}::text::{kind}[]" if kind in _NUMBERS else f"${number}::{kind}[]"


def _parameter(kind: str, column: Sequence[Any]) -> Any:  # noqa: ANN401  # text or a list
    is_empty = not column or (column[0] is None and all(value is None for value in column))
    if kind not in _NUMBERS:
        return [] if is_empty else list(column)
    if is_empty:
        return "{}"
    if None in column:
        return "{" + ",".join(["NULL" if value is None else str(value) for value in column]) + "}"
    return "{" + ",".join(map(str, column)) + "}"


_MEMBER = {"program": "text", "member": "text"}
_BALANCE = ("available", "pending", "held", "owed", "earned", "spent", "expired", "reversed", "adjusted")

JOURNALS = Written(
    "journals",
    {
        **_MEMBER, "journal": "bigint", "kind": "text", "cause": "text", "partner": "text", "at": "timestamptz",
        "occurred_at": "timestamptz", "version": "integer", "message": "text", "facts": "bytea", "body": "bytea",
    },
)  # fmt: skip
ENTRIES = Written(
    "entries",
    {**_MEMBER, "journal": "bigint", "entry": "smallint", "unit": "text", "account": "text", "amount": "bigint"},
)
ACTIVITIES = Written(
    "activities",
    {
        "program": "text", "partner": "text", "activity": "text", "member": "text", "journal": "bigint",
        "hash": "text", "code": "text",
    },
)  # fmt: skip
LOTS = Written(
    "lots",
    {
        **_MEMBER, "journal": "bigint", "lot": "smallint", "unit": "text", "rule": "text", "activity": "text",
        "partner": "text", "granted": "bigint", "remaining": "bigint", "held": "bigint", "expired": "bigint",
        "earned_at": "timestamptz", "available_at": "timestamptz", "expires_at": "timestamptz", "funder": "text",
        "version": "integer", "pending": "bigint", "awaits": "text", "unfunded": "boolean",
    },
)  # fmt: skip
LOTS_MOVED = replace(
    LOTS,
    key=("program", "member", "journal", "lot"),
    totals=("remaining", "held", "expired", "pending", "awaits", "unfunded"),
)
RETURNS = Written("returns", {**_MEMBER, "of_journal": "bigint", "journal": "bigint"})
HOLDS = Written(
    "holds",
    {
        **_MEMBER, "hold": "text", "unit": "text", "amount": "bigint", "state": "text", "saga": "boolean",
        "parts": "bytea", "journal": "bigint", "expires_at": "timestamptz", "partner": "text", "reference": "text",
        "captured": "bigint", "cancelled": "bigint", "waits_until": "timestamptz",
    },
    key=("program", "member", "hold"),
    totals=("state", "parts", "captured", "cancelled"),
)  # fmt: skip
ADJUSTMENTS = Written(
    "adjustments",
    {
        **_MEMBER, "adjustment": "text", "unit": "text", "amount": "bigint", "state": "text", "reason": "text",
        "partner": "text", "expires_at": "timestamptz", "waiting": "bigint", "corrects": "text", "corrected": "boolean",
        "journal": "bigint", "reversed": "bigint", "written_off": "bigint", "bonus": "bigint", "owed": "bigint",
    },
    key=("program", "member", "adjustment"),
    totals=(
        "amount", "state", "expires_at", "waiting", "corrected", "journal", "reversed", "written_off", "bonus", "owed",
    ),
)  # fmt: skip
WALLETS = Written(
    "wallets",
    {
        **_MEMBER, "status": "text", "at": "timestamptz", "version": "bigint", "enrolled_at": "timestamptz",
        "person": "text", "attributes": "bytea", "next_due_at": "timestamptz", "hold_expires_at": "timestamptz",
        "occurred_at": "timestamptz", "turned_to": "timestamptz", "merged_into": "text", "merged_in": "bigint",
        "household": "bytea", "converts_at": "timestamptz", "releases_at": "timestamptz",
        "referred_by": "text", "birthday_at": "timestamptz",
    },
    key=("program", "member"),
    totals=(
        "status", "at", "version", "enrolled_at", "person", "attributes", "next_due_at", "hold_expires_at",
        "occurred_at", "turned_to", "merged_into", "merged_in", "household", "converts_at", "releases_at",
        "referred_by", "birthday_at",
    ),
)  # fmt: skip
BALANCES = Written(
    "balances",
    {
        **_MEMBER, "unit": "text", **dict.fromkeys(_BALANCE, "bigint"), "active_until": "timestamptz",
        "next_expiry_at": "timestamptz", "next_expiry_amount": "bigint",
    },
    key=("program", "member", "unit"),
    totals=(*_BALANCE, "active_until", "next_expiry_at", "next_expiry_amount"),
)  # fmt: skip
