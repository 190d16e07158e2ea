"""What is wrong with tiers, and with rules that count towards them or go by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from laurel.contracts.reading import pointer_to
from laurel.errors import Fault

if TYPE_CHECKING:
    from laurel.program.document import Attributes, Counter, Level, Rule, Tiers, Unit

_Found = tuple[tuple[str | int, ...], str, str]


def unit_faults(name: str, unit: Unit) -> Iterator[Fault]:
    """Yield what is wrong with a unit for being, or not being, a mere count."""
    path = pointer_to(("units", name, "validity"))
    if unit.counts_only and unit.validity is not None:
        yield Fault(path, "not_allowed", "what only counts does not end; the windows of tiers say how long it counts")
    if not unit.counts_only and unit.validity is None:
        yield Fault(path, "missing", "This field is required")
    if unit.counts_only and unit.value is not None:
        yield Fault(pointer_to(("units", name, "value")), "not_allowed", "what only counts is worth nothing")
    if unit.breakage and unit.value is None:
        detail = "nothing is set aside without a value, so there is nothing to leave out"
        yield Fault(pointer_to(("units", name, "breakage")), "not_allowed", detail)


def rule_tier_faults(rule: Rule, unit: Unit | None, tiers: Tiers | None, *, has_tiers: bool) -> Iterator[_Found]:
    """Yield what is wrong with a rule of a unit that counts, and with shares by tier."""
    if unit is not None and unit.counts_only:
        for key in ("funding", "validity", "caps", "budget"):
            if getattr(rule, key) is not None:
                yield (key,), "not_allowed", f"{rule.unit} only counts: it is no points, so it has no {key}"
    elif unit is not None and rule.funding is None:
        yield ("funding",), "missing", "This field is required"
    yield from _shares(rule, tiers)
    by = (rule.rate.by if rule.rate is not None else None) or (rule.multiplier.by if rule.multiplier else None)
    if by is not None and not has_tiers:
        yield ("rate" if rule.rate is not None else "multiplier", "by"), "unknown_reference", "there are no tiers"


def _shares(rule: Rule, tiers: Tiers | None) -> Iterator[_Found]:
    shares: list[tuple[tuple[str, str], object, bool]] = []
    if rule.rate is not None:
        shares.append((("rate", "points"), rule.rate.points, rule.rate.by == "tier"))
    multiplier = rule.multiplier
    if multiplier is not None:
        shares += [
            (("multiplier", key), getattr(multiplier, key), multiplier.by == "tier")
            for key in ("percent", "fraction")
            if getattr(multiplier, key) is not None
        ]
        if multiplier.most is not None and multiplier.by != "tenure":
            yield ("multiplier", "most"), "not_allowed", "a most goes with by: tenure"
    levels = None if tiers is None else {level.tier for level in tiers.levels}
    for path, share, wants_table in shares:
        if isinstance(share, dict) != wants_table:
            yield path, "wrong_type", "a table goes with by: tier, and by: tier with a table"
        elif isinstance(share, dict) and levels is not None:
            for tier in share:
                if tier not in levels:
                    yield (*path, tier), "unknown_reference", f"there is no tier {tier} under tiers/levels"


def tier_faults(
    tiers: Tiers, units: Mapping[str, Unit | None] | None, attributes: Attributes | None
) -> Iterator[Fault]:
    """Yield what is wrong with tiers, in document order."""
    found = [*_counters(tiers, units), *_levels(tiers), *_falls(tiers), *_judged(tiers, attributes), *_match(tiers)]
    for path, code, detail in found:
        yield Fault(pointer_to(("tiers", *path)), code, detail)


def _counters(tiers: Tiers, units: Mapping[str, Unit | None] | None) -> Iterator[_Found]:
    for name, counter in tiers.counters.items():
        path = ("counters", name)
        if units is not None:
            unit = units.get(counter.unit)
            if counter.unit not in units:
                yield (*path, "unit"), "unknown_reference", f"there is no unit {counter.unit} under units"
            elif unit is not None and not unit.counts_only:
                yield (*path, "unit"), "not_allowed", f"{counter.unit} is points; a tier goes by what counts_only"
        said = [key for key in ("months", "days") if getattr(counter, key) is not None]
        if counter.window == "rolling" and not said:
            yield path, "missing", "a rolling window needs one of months and days"
        for extra in said[1:] if counter.window == "rolling" else said:
            detail = "a rolling window has one of months and days"
            yield (*path, extra), "not_allowed", detail if counter.window == "rolling" else "this window has its length"
        if counter.counts == "months" and counter.window != "rolling":
            yield (*path, "counts"), "not_allowed", "months are counted in a rolling window"
        if counter.since_tier and tiers.climbs != "one_step":
            yield (*path, "since_tier"), "not_allowed", "counting since the tier goes with climbs: one_step"


def _levels(tiers: Tiers) -> Iterator[_Found]:
    for index, level in enumerate(tiers.levels):
        path = ("levels", index)
        if level.tier in {other.tier for other in tiers.levels[:index]}:
            yield (*path, "tier"), "repeated", f"{level.tier} stands further up already"
        if index == 0:
            for key in ("needs", "keeps", "lasts"):
                if getattr(level, key):
                    yield (*path, key), "not_allowed", "everybody has the first tier, for ever"
        elif not level.needs:
            yield (*path, "needs"), "missing", "a tier above the first needs something"
        yield from _asked(level, path, tiers)
        if index and tiers.climbs == "any":
            yield from _order(tiers.levels[index - 1], level, path, tiers.counters)


def _asked(level: Level, path: tuple[str | int, ...], tiers: Tiers) -> Iterator[_Found]:
    for key, named in (("needs", level.needs), ("keeps", level.keeps)):
        for name in named:
            if name not in tiers.counters:
                yield (*path, key, name), "unknown_reference", f"there is no counter {name} under tiers/counters"
    for name, bounds in level.keeps.items():
        if bounds.least is None and bounds.most is None:
            yield (*path, "keeps", name), "missing", "a bound needs one of least and most"
        elif bounds.least is not None and bounds.most is not None and bounds.least > bounds.most:
            yield (*path, "keeps", name, "most"), "out_of_range", "most lies below least"


def _order(
    below: Level, level: Level, path: tuple[str | int, ...], counters: Mapping[str, Counter]
) -> Iterator[_Found]:
    """A tier asks for no less of anything than the one below it, and for more of something."""
    shared = [name for name in level.needs if name in below.needs and name in counters]
    for name in shared:
        if level.needs[name] < below.needs[name]:
            yield (*path, "needs", name), "out_of_order", f"{below.tier} below it needs {below.needs[name]}"
    if level.needs and shared and level.needs == below.needs:
        yield (*path, "needs"), "out_of_order", f"this is what {below.tier} needs, so nobody would stay there"


def _falls(tiers: Tiers) -> Iterator[_Found]:
    lasts = [index for index, level in enumerate(tiers.levels) if level.lasts is not None]
    if tiers.falls == "month_end":
        if tiers.lasts is not None:
            yield ("lasts",), "not_allowed", "tiers that are reviewed each month do not last"
        for index in lasts:
            yield ("levels", index, "lasts"), "not_allowed", "tiers that are reviewed each month do not last"
        if tiers.steps_down is not None:
            yield ("steps_down",), "not_allowed", "at the end of a month a member falls to what fits"
        if tiers.climbs == "one_step":
            yield ("climbs",), "not_allowed", "at the end of a month a member falls to what fits"
    elif tiers.steps_down is not None and tiers.lasts is None and not lasts:
        yield ("steps_down",), "not_allowed", "tiers that do not end are not reviewed"
    for index, level in enumerate(tiers.levels):
        if index and level.keeps and (tiers.falls == "month_end" or (tiers.lasts or level.lasts) is None):
            yield ("levels", index, "keeps"), "not_allowed", "what keeps a tier is asked where it ends: it needs lasts"


def _judged(tiers: Tiers, attributes: Attributes | None) -> Iterator[_Found]:
    attribute = tiers.judged_at.removeprefix("attributes.")
    if attributes is not None and attribute != tiers.judged_at and attributes.activity.get(attribute) != "text":
        yield ("judged_at",), "unknown_reference", f"{attribute} is not declared as a text under attributes/activity"


def _match(tiers: Tiers) -> Iterator[_Found]:
    if tiers.match is None:
        return
    challenge = tiers.match.challenge
    path = ("match", "challenge")
    if challenge.counter not in tiers.counters:
        yield (*path, "counter"), "unknown_reference", f"there is no counter {challenge.counter} under tiers/counters"
    elif any(challenge.counter not in level.needs for level in tiers.levels[1:]):
        yield (*path, "counter"), "not_allowed", f"not every tier needs {challenge.counter}"
    if challenge.percent > 100:
        yield (*path, "percent"), "out_of_range", "a match asks for no more than the tier itself"
    if tiers.falls == "month_end":
        yield ("match",), "not_allowed", "tiers that are reviewed each month are not matched"
