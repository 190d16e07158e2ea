"""Segments in a wallet: who joins by an activity, what is over by itself, and what a judgement of all members brings.

The rules are in `laurel.program.segments`, pure and shared with paper; here they meet the wallet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from laurel.calendars import local_date, local_midnight
from laurel.contracts.activity import ReportedActivity
from laurel.program import CompiledProgram
from laurel.program.belonging import SegmentsChanged
from laurel.program.segments import Cut, ended, judgement_days
from services.points.domain.facts import AnyFact
from services.points.domain.moment import Programs
from services.points.domain.state import Wallet

ANY_VERSION = 2**31


class Judgement(NamedTuple):
    """What all members of a program are judged by: `segments` at a local midnight, `tiers` when other ones begin."""

    program: CompiledProgram
    at: datetime
    cuts: Mapping[str, Cut]
    segments: bool = True
    tiers: bool = False


def joined(wallet: Wallet, program: CompiledProgram, activity: ReportedActivity) -> list[AnyFact]:
    """Return what an activity leads to by which members join a segment."""
    if program.segments is None:
        return []
    changed = program.segments.joined(wallet.segments, activity.type, activity.occurred_at)
    return [] if changed is None else [changed]


def segments_end_at(wallet: Wallet, until: datetime) -> datetime | None:
    """Return when a membership is over by itself next, by an instant."""
    at = wallet.segments.ends_at
    return at if at is not None and at <= until else None


def over(wallet: Wallet, at: datetime) -> tuple[AnyFact, ...]:
    """Return what is over at an instant at which something is."""
    changed = ended(wallet.segments, at)
    assert changed is not None  # the caller asked when
    return (changed,)


def judged(wallet: Wallet, judgement: Judgement, measures: Mapping[str, int]) -> tuple[AnyFact, ...]:
    """Return what a judgement changes for one member; whoever is not active any more belongs nowhere after it."""
    segments = judgement.program.segments
    if segments is None or not judgement.segments:
        return ()
    told = measures if wallet.status == "active" else {}
    changed = segments.judge(wallet.segments, judgement.at, told, judgement.cuts)
    return () if changed is None else (changed,)


def next_judgement(programs: Programs, program: str, after: datetime, until: datetime) -> datetime | None:
    """Return the first local midnight after an instant, up to another, at which a version in force then judges."""
    zone = programs.zone(program)
    for day in judgement_days(local_date(after, zone), local_date(until, zone)):
        at = local_midnight(day, zone)
        version = programs.in_force(program, at, ANY_VERSION) if at <= until else None
        if version is not None and version.segments is not None and version.segments.judged_on(day):
            return at
    return None


def changes_segments(facts: Iterable[object]) -> bool:
    """Say whether facts move the segments of a member."""
    return any(isinstance(fact, SegmentsChanged) for fact in facts)
