"""Of a decision of many rules, points tells those that are not silent; whoever reads an activity is shown all.

And not shown what is kept with it for ourselves.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from laurel.program.explaining import whole_decision
from services.gateway.told.telling import TOLD_IN, Unlisted

if TYPE_CHECKING:
    from services.gateway.answering import Settled
    from services.gateway.knowing import Known

_MARK: Final = b'"unlisted":'


class _Shown(msgspec.Struct):
    decision: list[dict[str, Any]] = []
    unlisted: Unlisted | None = None


_decode = msgspec.json.Decoder(_Shown).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


async def explained(known: Known, program: str, outcome: bytes) -> bytes:
    """Return an activity's outcome with what each rule said."""
    if TOLD_IN in outcome:
        outcome = _encode({name: part for name, part in _decode_parts(outcome).items() if name != "told_in"})
    if _MARK not in outcome:
        return outcome
    shown = _decode(outcome)
    if shown.unlisted is None:
        return outcome
    rules = await known.rules(program, shown.unlisted.version)
    decision = whole_decision(rules, shown.unlisted.type, shown.unlisted.occurred_at, shown.decision)
    parts = _decode_parts(outcome)
    del parts["unlisted"]
    return _encode({**parts, "decision": msgspec.Raw(_encode(decision))})


async def with_explanation(known: Known, program: str, settled: Settled) -> Settled:
    """Return the same, as a caller is answered."""
    if settled.outcome is None:
        return settled
    return replace(settled, outcome=await explained(known, program, settled.outcome))
