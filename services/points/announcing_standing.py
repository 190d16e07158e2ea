"""Tiers and segments in the shapes of the contract, and what became of them, as events."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from zoneinfo import ZoneInfo

from laurel.calendars import local_date
from laurel.contracts import points as said
from laurel.program.belonging import Belonging
from laurel.shapes import struct_of
from services.points.announcing_parts import last_good_day
from services.points.domain import facts as f
from services.points.domain.tiering import Shown, changed
from services.points.ports import Decided

_Benefit: Any = struct_of(said.Benefit)
_Challenge: Any = struct_of(said.Challenge)
_NextTier: Any = struct_of(said.NextTier)
_Progress: Any = struct_of(said.Progress)
_SegmentSeen: Any = struct_of(said.SegmentSeen)
_Standing: Any = struct_of(said.Standing)
_TierSeen: Any = struct_of(said.TierSeen)

_Told = tuple[Any, dict[str, Any]]


def tier_seen(fact: f.ActivityPosted | f.ActivityReturned, decided: Decided) -> said.TierSeen | None:
    """Say the tier after an activity; nothing where the program has none."""
    if not fact.stands:
        return None
    change = changed(decided.journal.facts)
    name = fact.stands if change is None else change.after
    seen: said.TierSeen = _TierSeen(name=name, changed=change is not None)
    return seen


def standing_said(shown: Shown, zone: ZoneInfo) -> said.Standing:
    """Say where a member stands, in the contract's shape."""
    standing = shown.standing
    built: said.Standing = _Standing(
        name=standing.tier,
        since=local_date(standing.since_at, zone),
        until=None if standing.until_at is None else last_good_day(standing.until_at, zone),
        years=shown.years,
        years_from=shown.years_from,
        benefits=[_Benefit(name=each.name, value=each.value) for each in shown.benefits],
        progress=[
            _Progress(
                counter=each.counter,
                value=each.value,
                from_=each.first,
                until=each.last,
                next=None if each.tier is None else _NextTier(tier=each.tier, needs=each.needs or 0),
            )
            for each in shown.progress
        ],
    )
    return built


def tier_changed(fact: f.TierChanged, decided: Decided, zone: ZoneInfo) -> _Told:
    standing, challenge = fact.standing, None
    matched = standing.matched if fact.reason == "matched" else None
    if matched is not None:
        until = last_good_day(matched.until_at, zone)
        challenge = _Challenge(counter=matched.counter, needs=matched.needs, until=until)
    return said.TierChanged, {
        "from_": fact.before,
        "to": fact.after,
        "since": local_date(standing.since_at, zone),
        "until": None if standing.until_at is None else last_good_day(standing.until_at, zone),
        "reason": fact.reason,
        "match": decided.journal.cause if matched is not None else None,
        "challenge": challenge,
    }


def tier_kept(fact: f.TierKept, zone: ZoneInfo) -> _Told:
    standing = fact.standing
    return said.TierKept, {
        "tier": standing.tier,
        "until": None if standing.until_at is None else last_good_day(standing.until_at, zone),
        "reason": fact.reason,
    }


def segments_moved(facts: Iterable[f.AnyFact], zone: ZoneInfo) -> list[Any] | None:
    """Say to which segments the member belongs, where facts moved that."""
    changed = next((fact for fact in facts if isinstance(fact, f.SegmentsChanged)), None)
    return None if changed is None else segments_said(changed.held, zone)


def segments_said(held: Iterable[Belonging], zone: ZoneInfo) -> list[Any]:
    """Say to which segments a member belongs, in the contract's shape."""
    return [
        _SegmentSeen(
            name=each.segment,
            primary=each.primary,
            since=local_date(each.since_at, zone),
            until=None if each.until_at is None else last_good_day(each.until_at, zone),
        )
        for each in held
    ]


def segments_changed(fact: f.SegmentsChanged) -> _Told:
    return said.SegmentChanged, {"entered": list(fact.entered), "left": list(fact.left), "reason": fact.reason}


def _match_refused(fact: f.StatusMatchRefused, _decided: Decided) -> _Told:
    return said.TierMatchRefused, {
        "match": fact.match,
        "tier": fact.tier,
        "code": fact.code,
        "detail": fact.detail,
    }


EVENTS: dict[type, Callable[[Any, Decided], _Told]] = {f.StatusMatchRefused: _match_refused}
