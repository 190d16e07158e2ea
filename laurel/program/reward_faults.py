"""What is wrong with a reward: by itself, and beside the program that it is offered in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from laurel.contracts.reading import pointer_to
from laurel.errors import Fault
from laurel.program.conditions import condition_faults
from laurel.program.document import ATTRIBUTE_PATTERN
from laurel.program.scopes import reward_scope

if TYPE_CHECKING:
    from laurel.contracts.rewards import DayRange, Resource, Reward
    from laurel.program.document import ProgramDocument

_Path = tuple[str | int, ...]
_Found = tuple[_Path, str, str]

WINDOWS: Final = ("day", "month", "quarter", "calendar_year", "account_year", "lifetime")
ATTRIBUTES: Final = "attributes."
_LEAP_YEAR: Final = 2024


def reward_faults(reward: Reward, program: ProgramDocument) -> list[Fault]:
    """Return everything that is wrong with a reward that has the right shape."""
    found = (
        *_price(reward),
        *_payment(reward),
        *_times(reward),
        *_places(reward),
        *_asked(reward),
        *_limits(reward),
        *_fulfilment(reward),
        *_named(reward, program),
        *_conditions(reward, program),
    )
    return [Fault(pointer_to(path), code, detail) for path, code, detail in found]


def resource_faults(resource: Resource) -> list[Fault]:
    """Return everything that is wrong with a resource that has the right shape."""
    if resource.from_ is not None and resource.until is not None and resource.until < resource.from_:
        return [Fault("/until", "not_allowed", "This is before the first day")]
    return []


def _price(reward: Reward) -> Iterator[_Found]:
    ways = {"price": reward.price, "chart": reward.chart, "by_amount": reward.by_amount, "free": reward.free}
    given = [name for name, value in ways.items() if value]
    if len(given) != 1:
        where = given[1] if given else "price"
        yield (where,), "not_allowed" if given else "missing", f"A reward has one of {', '.join(ways)}"
    for number, row in enumerate(reward.chart):
        if row.season is not None and row.season not in reward.seasons:
            yield ("chart", number, "season"), "unknown_reference", f"there is no season {row.season} under seasons"


def _payment(reward: Reward) -> Iterator[_Found]:
    pay = reward.pay
    if pay is None:
        return
    if reward.by_amount is not None and pay.rate is not None:
        yield ("pay", "rate"), "not_allowed", "A price by amount has its own rate"
    if reward.by_amount is None and pay.rate is None and (pay.cash or pay.most):
        yield ("pay", "rate"), "missing", "Say what points are worth when the rest is paid in money"
    if pay.most and not pay.cash:
        yield ("pay", "cash"), "missing", "What points do not pay is paid in money"


def _times(reward: Reward) -> Iterator[_Found]:
    if reward.opens_at is not None and reward.closes_at is not None and reward.closes_at <= reward.opens_at:
        yield ("closes_at",), "not_allowed", "This is not after its opening"
    for name, ranges in reward.seasons.items():
        for number, days in enumerate(ranges):
            yield from _range(("seasons", name, number), days)
    for number, days in enumerate(reward.blackouts):
        yield from _range(("blackouts", number), days)


def _range(path: _Path, days: DayRange) -> Iterator[_Found]:
    right = True
    for name, text in (("from", days.from_), ("until", days.until)):
        if not _is_day(text):
            right = False
            yield (*path, name), "not_a_day", "There is no such day"
    if len(days.from_) != len(days.until):
        yield (*path, "until"), "not_allowed", "Both days have a year, or none has"
    elif right and len(days.from_) > len("12-20") and days.until < days.from_:
        yield (*path, "until"), "not_allowed", "This is before the first day"


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text if len(text) > len("12-20") else f"{_LEAP_YEAR}-{text}")
    except ValueError:
        return False
    return True


def _places(reward: Reward) -> Iterator[_Found]:
    if reward.segments and reward.resource is not None:
        yield ("resource",), "not_allowed", "The segments name their resources"


def _asked(reward: Reward) -> Iterator[_Found]:
    for name in reward.attributes:
        if not _is_attribute(name):
            yield ("attributes", name), "bad_format", "Conditions can read letters, digits and underscores"
    if reward.key is not None and reward.key not in reward.attributes:
        yield ("key",), "unknown_reference", f"there is no {reward.key} under attributes"
    if reward.key is None and not reward.key_needed:
        yield ("key_needed",), "not_allowed", "There is no key that could be left out"


def _is_attribute(name: str) -> bool:
    return re.fullmatch(ATTRIBUTE_PATTERN, name) is not None


def _limits(reward: Reward) -> Iterator[_Found]:
    seen: set[str] = set()
    for number, limit in enumerate(reward.limits):
        path: _Path = ("limits", number)
        if limit.limit in seen:
            yield (*path, "limit"), "repeated", f"{limit.limit} is named twice"
        seen.add(limit.limit)
        if limit.per not in WINDOWS:
            yield from _attribute((*path, "per"), limit.per, reward.attributes, "text", "integer")
        if limit.times is None and not limit.by_tier:
            yield (*path, "times"), "missing", "Say how often, or how often by_tier"
        if limit.each is not None:
            yield from _attribute((*path, "each"), limit.each, reward.attributes, "integer")


def _fulfilment(reward: Reward) -> Iterator[_Found]:
    if reward.fulfilment is None:
        return
    try:
        parts = urlsplit(reward.fulfilment.url)
        named, _ = parts.hostname, parts.port
    except ValueError:
        named = None
    if not named:
        yield ("fulfilment", "url"), "bad_format", "This is no address"
    elif "@" in parts.netloc or parts.fragment:
        yield ("fulfilment", "url"), "not_allowed", "An address holds no user, no password and no fragment"


def _attribute(path: _Path, name: str, declared: Mapping[str, str], *kinds: str) -> Iterator[_Found]:
    kind = declared.get(name.removeprefix(ATTRIBUTES)) if name.startswith(ATTRIBUTES) else None
    if kind is None:
        yield path, "unknown_reference", f"{name} is none of {', '.join(WINDOWS)} and no declared attribute"
    elif kind not in kinds:
        yield path, "not_allowed", f"{name} is not of the kind {' or '.join(kinds)}"


def _named(reward: Reward, program: ProgramDocument) -> Iterator[_Found]:
    unit = program.units.get(reward.unit)
    if unit is None or unit.counts_only:
        yield ("unit",), "unknown", "The program has no such unit that can be spent"
    tiers = [level.tier for level in program.tiers.levels] if program.tiers is not None else []
    segments = [segment.segment for segment in program.segments]
    for path, names, there in _references(reward, tiers, segments):
        for number, name in enumerate(names):
            if name not in there:
                yield (*path, number), "unknown_reference", f"the program has no {name}"
    for number, limit in enumerate(reward.limits):
        for tier in limit.by_tier:
            if tier not in tiers:
                yield ("limits", number, "by_tier", tier), "unknown_reference", f"the program has no tier {tier}"


def _references(reward: Reward, tiers: list[str], segments: list[str]) -> Iterator[tuple[_Path, list[str], list[str]]]:
    for number, row in enumerate(reward.chart):
        yield ("chart", number, "tiers"), row.tiers or [], tiers
    if reward.eligibility is not None:
        yield ("eligibility", "tiers"), reward.eligibility.tiers or [], tiers
        yield ("eligibility", "segments"), reward.eligibility.segments or [], segments


def _conditions(reward: Reward, program: ProgramDocument) -> Iterator[_Found]:
    scope = reward_scope(reward.attributes, program.attributes.member, tiers=program.tiers is not None)
    conditions: list[tuple[_Path, str | None]] = [
        (("chart", number, "where"), row.where) for number, row in enumerate(reward.chart)
    ]
    if reward.eligibility is not None:
        conditions.append((("eligibility", "where"), reward.eligibility.where))
    for path, source in conditions:
        for fault in condition_faults(source, scope) if source is not None else ():
            yield path, fault.code, str(fault)
