"""What a decider knows besides the state: when, and what was fetched for it beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(slots=True, frozen=True)
class ProgramTerms:
    """What redemption needs to know of a version of a program: where its midnights are, and whose clock moves it."""

    zone: str = "UTC"
    manual: bool = False


@dataclass(slots=True, frozen=True)
class Blank:
    """A voucher's id and the end of its code, made before deciding: deciders know no chance and no secret.

    A code of a partner is good until `code_ends_at`.
    """

    voucher: str
    suffix: str
    code_ends_at: datetime | None = None


@dataclass(slots=True, frozen=True)
class Moment:
    """The instant of a decision and what it may use up."""

    at: datetime
    program: ProgramTerms = ProgramTerms()
    hold_wait: timedelta = timedelta(minutes=15)
    correlation: str = ""
    blanks: tuple[Blank, ...] = ()
