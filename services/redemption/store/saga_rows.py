"""Rows of sagas: which columns there are, and how a saga becomes one and is one again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from services.redemption.domain.bargain import decode_bargain, encode_bargain
from services.redemption.domain.heard import LotAmount
from services.redemption.domain.state import HoldState, Saga, SagaKey, SagaState

KEY: Final = {"program": "text", "member": "text", "redemption": "text"}
MOVED: Final = {
    "state": "text", "hold": "text", "partner": "text", "hash": "text", "reward": "text", "reward_version": "int",
    "quantity": "bigint", "unit": "text", "points": "bigint", "version": "bigint", "zone": "text",
    "correlation": "text", "code": "text", "counted": "boolean", "waits_until": "timestamptz", "later": "boolean",
    "manual": "boolean", "lots": "bytea", "cancelled_by": "text", "cancelling": "text", "reference": "text",
    "delayed": "boolean", "at": "timestamptz", "step": "int", "outcome_type": "text", "outcome": "bytea",
    "bargain": "bytea",
}  # fmt: skip
"""The columns that messages move, in the order of the fields of a `Saga`, with their types."""

COLUMNS: Final = ", ".join(f"s.{name}" for name in (*KEY, *MOVED))

WRITE: Final = (
    f"insert into sagas ({', '.join((*KEY, *MOVED))}) select * from unnest("
    + ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate((*KEY.values(), *MOVED.values()), 1))
    + ") on conflict (program, member, redemption) do update set "
    + ", ".join(f"{name} = excluded.{name}" for name in MOVED)
)

_FIELDS: Final = tuple(MOVED)
_LOTS: Final = _FIELDS.index("lots") - 2
_encode_lots = msgspec.json.Encoder().encode
_decode_lots = msgspec.json.Decoder(tuple[LotAmount, ...]).decode


def row_of(saga: Saga) -> Sequence[Any]:
    """Return a saga's row."""
    return (
        *saga.key, str(saga.state), str(saga.hold), saga.partner, saga.hash, saga.reward, saga.reward_version,
        saga.quantity, saga.unit, saga.points, saga.version, saga.zone, saga.correlation, saga.code, saga.counted,
        saga.waits_until, saga.later, saga.manual, _encode_lots(saga.lots), saga.cancelled_by, saga.cancelling,
        saga.reference, saga.delayed, saga.at, saga.step, saga.outcome_type, saga.outcome,
        encode_bargain(saga.bargain),
    )  # fmt: skip


def saga_of(row: Iterable[Any]) -> Saga:
    """Return the saga of a row."""
    program, member, redemption, state, hold, *rest, bargain = row
    rest[_LOTS] = _decode_lots(rest[_LOTS])
    rest.append(decode_bargain(bargain))
    return Saga(SagaKey(program, member, redemption), SagaState(state), HoldState(hold), *rest)
