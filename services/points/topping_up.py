"""A block is topped up: how that is read, when what waited for it is posted, and what is told at its end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from laurel.contracts import points as said
from laurel.contracts.envelope import Cause
from laurel.shapes import struct_of
from services.points.domain.asked import TopUp
from services.points.domain.shared import Block
from services.points.domain.state import Wallet
from services.points.ports import Announcement, Incoming, Paid, Payment

_encode = msgspec.json.Encoder().encode
_Block: Any = struct_of(said.BlockSeen)
_Cause: Any = struct_of(Cause)
_ToppedUp: Any = struct_of(said.BlockToppedUp)

BlockSeen = said.BlockSeen


def payment_of(asked: TopUp, message: Incoming) -> Payment:
    """Return what was paid, with what its answer has to name."""
    return Payment(
        asked.program,
        asked.partner,
        asked.reference,
        asked.unit,
        asked.units,
        asked.amount,
        asked.currency,
        asked.at,
        asked.versions.as_of,
        asked.versions.partners,
        message.id,
        message.correlation,
        message.traceparent,
    )


def time_of_funding(payment: Payment, wallet: Wallet, *, runs_by_itself: bool) -> datetime:
    """Return when what waited is posted: when it was paid, or on a manual clock at the later of now and the last
    activity.
    """
    if runs_by_itself:
        return max(payment.at, wallet.at)
    told = [time for time in (payment.as_of, wallet.occurred_at) if time is not None]
    return max(*told, wallet.at) if told else wallet.at


def seen_block(unit: str, block: Block) -> said.BlockSeen:
    """Say how a block stands."""
    seen: said.BlockSeen = _Block(unit=unit, units=block.units, used=block.used, left=block.left)
    return seen


def topped_up(payment: Payment, block: said.BlockSeen, code: str | None = None) -> Announcement:
    """Say that a block was topped up and its queue gone through, or why it was not."""
    body = _ToppedUp(
        program=payment.program,
        member=None,
        at=payment.at,
        cause=_Cause(kind="message", id=payment.message),
        partner=payment.partner,
        reference=payment.reference,
        unit=payment.unit,
        units=payment.units,
        amount=payment.amount,
        currency=payment.currency,
        block=block,
        code=code,
    )
    return Announcement(
        payment.program,
        "",
        said.BlockToppedUp.TYPE,
        _encode(body),
        payment.at,
        payment.message,
        payment.correlation,
        payment.traceparent,
    )


def answer_payment(payment: Payment, paid: Paid) -> list[Announcement]:
    """Answer a payment at once that was noted before, or is beyond the limit; a new one when its queue is done."""
    if paid.outcome == "new":
        return []
    code = "limit_reached" if paid.outcome == "beyond" else None
    return [topped_up(payment, seen_block(payment.unit, paid.block), code)]
