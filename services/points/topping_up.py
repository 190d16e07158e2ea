"""A block is topped up: how that is read, when what waited for it is posted, and what is told at its end."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any, Final

import msgspec

from laurel.contracts import points as said
from laurel.contracts.envelope import Cause
from laurel.shapes import struct_of
from services.points.domain.asked import TopUp
from services.points.domain.facts import ActivityPosted, AnyFact
from services.points.domain.shared import Block
from services.points.domain.state import Wallet
from services.points.ports import Announcement, Incoming, Journal, Paid, Payment, Remembered, Waiting

_encode = msgspec.json.Encoder().encode
_Block: Any = struct_of(said.BlockSeen)
_Cause: Any = struct_of(Cause)
_ToppedUp: Any = struct_of(said.BlockToppedUp)

BlockSeen = said.BlockSeen

PARTNERS: Final = "/partners"


def partners_of(program: str) -> str:
    """Return the name under which the versions of what is said of a program's partners are counted and waited for."""
    return f"{program}{PARTNERS}"


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


def funding_journal(
    waiting: Waiting, wallet: Wallet, at: datetime, facts: tuple[AnyFact, ...]
) -> tuple[Journal, Incoming]:
    """Make the row of an activity's funding, which answers the message that reported it."""
    journal = Journal(
        wallet,
        wallet.version,
        "funding",
        waiting.activity,
        at,
        facts,
        at,
        partner=waiting.partner,
        version=getattr(facts[0], "version", 0),
        message=waiting.message,
        correlation=waiting.correlation,
        traceparent=waiting.traceparent,
    )
    answered = Remembered(
        "", waiting.message, waiting.program, waiting.member, waiting.correlation, waiting.traceparent
    )
    return journal, answered


def share_journal(message: Incoming, journal: Journal) -> tuple[Journal, Incoming]:
    """Make the row of what a message meant for another: it is no activity of theirs, and answers nobody."""
    kind = "return_of_share" if journal.kind == "return" else "share"
    shared = dataclasses.replace(journal, kind=kind, body=None, hash="", correlation="", kept=True)
    return shared, Remembered("", message.id, message.program, message.member, "", message.traceparent)


def shares_named(journal: Journal) -> list[tuple[str, str, int]]:
    """Return the journals in which others have a share of what a journal posted."""
    first = journal.facts[0] if journal.facts else None
    if not isinstance(first, ActivityPosted):
        return []
    return [(journal.wallet.program, share.member, share.journal) for share in first.shares]


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
