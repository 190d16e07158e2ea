"""What a decider knows besides the state: when, and what was fetched for it beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.redemption.domain.heard import Share


@dataclass(slots=True, frozen=True)
class ProgramTerms:
    """What redemption needs to know of a version of a program: where its midnights are, and whose clock moves it.

    Conditions may read the `member_attributes` it declares; `share` of a resource is for awards.
    """

    zone: str = "UTC"
    manual: bool = False
    member_attributes: Mapping[str, str] = field(default_factory=dict)
    tiers: bool = False
    share: Share = field(default_factory=Share)


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
    """The instant of a decision and what it may use up.

    `away` are partners with which nothing is spent now, as far as it is a question: of a request, points say so.
    """

    at: datetime
    program: ProgramTerms = ProgramTerms()
    hold_wait: timedelta = timedelta(minutes=15)
    correlation: str = ""
    blanks: tuple[Blank, ...] = ()
    away: frozenset[str] = frozenset()
