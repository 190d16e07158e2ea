"""What is wrong across the parts of a document: references, choices of exactly one, conditions.

Works on whatever parts could be read, so that an author sees these faults together with those of single fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from pydantic import ValidationError

from laurel.calendars import zone_named
from laurel.contracts.reading import pointer_to
from laurel.errors import Fault
from laurel.program.birthdays import BIRTHDAY, faults_of
from laurel.program.concerning_faults import concerning_faults
from laurel.program.conditions import condition_faults
from laurel.program.conversion_faults import conversion_faults
from laurel.program.document import (
    Attributes,
    Birthdays,
    Cap,
    Conversion,
    DayPart,
    Exchange,
    Group,
    Part,
    ProgramDocument,
    Rolling,
    Rule,
    Segment,
    Store,
    Tiers,
    Transfers,
    Unit,
    Validity,
)
from laurel.program.parsing import RESERVED
from laurel.program.pending_faults import pending_faults
from laurel.program.places import overlapping
from laurel.program.scopes import lines_scope, member_scope, where_scope
from laurel.program.segment_faults import rule_segment_faults, segment_faults
from laurel.program.sharing_faults import sharing_faults
from laurel.program.threshold_faults import threshold_faults
from laurel.program.tier_faults import rule_tier_faults, tier_faults, unit_faults
from laurel.program.unreachable import unreachable_faults

if TYPE_CHECKING:
    from laurel.program.scopes import Scope

P = TypeVar("P", bound=Part)
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """The parts of a document that could be read by themselves; None or a missing key where one could not."""

    time_zone: str | None
    attributes: Attributes | None
    units: Mapping[str, Unit | None] | None
    rules: Mapping[int, Rule]
    rule_ids: Mapping[int, str]
    day_parts: Mapping[str, DayPart | None]
    stores: Mapping[str, Store | None]
    groups: Mapping[str, Group | None]
    caps: Mapping[int, Cap]
    tiers: Tiers | None = None
    has_tiers: bool = False
    conversions: Mapping[int, Conversion] = field(default_factory=dict)
    segments: Mapping[int, Segment] = field(default_factory=dict)
    segment_names: tuple[str, ...] = ()
    program: str | None = None
    currency: str | None = None
    closes_at: datetime | None = None
    transfers: Mapping[str, Transfers | None] = field(default_factory=dict)
    exchanges: Mapping[int, Exchange] = field(default_factory=dict)
    birthdays: Birthdays | None = None


def outline_of(document: ProgramDocument) -> Outline:
    """Return the outline of a document whose fields are all right."""
    rules = dict(enumerate(document.earning))
    return Outline(
        time_zone=document.time_zone,
        attributes=document.attributes,
        units=document.units,
        rules=rules,
        rule_ids={index: rule.rule for index, rule in rules.items()},
        day_parts=document.day_parts,
        stores=document.stores,
        groups=document.groups,
        caps=dict(enumerate(document.caps)),
        tiers=document.tiers,
        has_tiers=document.tiers is not None,
        conversions=dict(enumerate(document.conversions)),
        segments=dict(enumerate(document.segments)),
        segment_names=tuple(segment.segment for segment in document.segments),
        program=document.program,
        currency=document.currency,
        closes_at=document.closes_at,
        transfers=document.transfers,
        exchanges=dict(enumerate(document.exchanges)),
        birthdays=document.birthdays,
    )


def outline_of_parts(data: Mapping[str, Any]) -> Outline:
    """Return the outline of a document of which some fields are wrong."""
    zone, units, earning = data.get("time_zone"), data.get("units"), data.get("earning")
    caps, exchanges, conversions = data.get("caps"), data.get("exchanges"), data.get("conversions")
    said = data.get("segments")
    segments = said if isinstance(said, list) else []
    rules = _readable(Rule, dict(enumerate(earning)) if isinstance(earning, list) else {})
    named = enumerate(earning) if isinstance(earning, list) else ()
    attributes = _readable(Attributes, {"": data.get("attributes", {})})
    return Outline(
        time_zone=zone if isinstance(zone, str) else None,
        attributes=attributes.get(""),
        units=dict.fromkeys(units) | _readable(Unit, units) if isinstance(units, dict) else None,
        rules=rules,
        rule_ids={
            index: rule["rule"] for index, rule in named if isinstance(rule, dict) and isinstance(rule.get("rule"), str)
        },
        day_parts=_readable_named(DayPart, data.get("day_parts")),
        stores=_readable_named(Store, data.get("stores")),
        groups=_readable_named(Group, data.get("groups")),
        caps=_readable(Cap, dict(enumerate(caps)) if isinstance(caps, list) else {}),
        tiers=_readable(Tiers, {"": data.get("tiers")}).get(""),
        has_tiers=data.get("tiers") is not None,
        conversions=_readable(Conversion, dict(enumerate(conversions)) if isinstance(conversions, list) else {}),
        segments=_readable(Segment, dict(enumerate(segments))),
        segment_names=tuple(
            each["segment"] for each in segments if isinstance(each, dict) and isinstance(each.get("segment"), str)
        ),
        program=data["program"] if isinstance(data.get("program"), str) else None,
        currency=data["currency"] if isinstance(data.get("currency"), str) else None,
        transfers=_readable_named(Transfers, data.get("transfers")),
        exchanges=_readable(Exchange, dict(enumerate(exchanges)) if isinstance(exchanges, list) else {}),
        birthdays=_readable(Birthdays, {"": data.get("birthdays")}).get(""),
    )


def inconsistencies(outline: Outline) -> Iterator[Fault]:
    """Yield what is wrong across the parts, in document order."""
    yield from _zone(outline.time_zone)
    yield from _attributes(outline.attributes)
    for name, unit in (outline.units or {}).items():
        if unit is not None:
            yield from unit_faults(name, unit)
            if unit.validity is not None:
                yield from _validity(unit.validity, ("units", name, "validity"))
    yield from _places(outline)
    for index, rule in outline.rules.items():
        for path, code, detail in _rule(index, rule, outline):
            yield Fault(pointer_to(("earning", index, *path)), code, detail)
    for index, cap in outline.caps.items():
        for path, code, detail in _cap(index, cap, outline):
            yield Fault(pointer_to(("caps", index, *path)), code, detail)
    on_birthdays = {place: rule.budget is not None for place, rule in outline.rules.items() if BIRTHDAY in rule.on}
    member = outline.attributes.member if outline.attributes is not None else None
    for path, code, detail in faults_of(outline.birthdays, member, on_birthdays):
        yield Fault(pointer_to(path), code, detail)
    if outline.tiers is not None:
        yield from tier_faults(outline.tiers, outline.units, outline.attributes)
    for index, conversion in outline.conversions.items():
        for path, code, detail in conversion_faults(index, conversion, outline.conversions, outline.units):
            yield Fault(pointer_to(("conversions", index, *path)), code, detail)
        yield from _validity(conversion.voucher.validity, ("conversions", index, "voucher", "validity"))
    yield from segment_faults(outline.program, outline.segments, outline.segment_names, outline.units)
    yield from sharing_faults(outline.program, outline.units, outline.transfers, outline.exchanges)


_Found = tuple[Path, str, str]


def _rule(index: int, rule: Rule, outline: Outline) -> Iterator[_Found]:
    for before, name in outline.rule_ids.items():
        if before < index and name == rule.rule:
            yield ("rule",), "repeated", f"earning/{before} has this name already"
            break
    yield from _types(rule)
    if outline.units is not None and rule.unit not in outline.units:
        yield ("unit",), "unknown_reference", f"there is no unit {rule.unit} under units"
    if outline.attributes is not None:
        yield from _conditions(rule, outline)
        yield from _numbers(rule, outline.attributes)
    yield from _dates(rule, outline)
    yield from _limit(rule, outline)
    unit = (outline.units or {}).get(rule.unit)
    yield from pending_faults(rule, unit)
    yield from threshold_faults(index, rule, outline.rules, outline.rule_ids, unit)
    yield from concerning_faults(rule, outline.rules, outline.attributes)
    yield from _group(rule, outline)
    yield from _measure(rule)
    if rule.multiplier is not None:
        yield from _multiplied(index, rule, outline)
    yield from rule_tier_faults(rule, unit, outline.tiers, has_tiers=outline.has_tiers)
    yield from _taken_back(rule)
    yield from _budget(rule, outline)
    yield from rule_segment_faults(rule, outline.segment_names)
    if rule.funding is not None and rule.funding.currency is not None and rule.funding.price is None:
        yield ("funding", "currency"), "not_allowed", "a currency goes with a price"
    if rule.validity is not None:
        for fault in _validity(rule.validity, ("validity",)):
            yield ("validity",), fault.code, fault.detail


def _types(rule: Rule) -> Iterator[_Found]:
    for position, name in enumerate(rule.on):
        if name in rule.on[:position]:
            yield ("on", position), "repeated", f"{name} is named twice"
        if name == "return":
            yield (
                ("on", position),
                "not_allowed",
                "a return takes back what its activity earned and earns nothing itself",
            )


def _taken_back(rule: Rule) -> Iterator[_Found]:
    for position, name in enumerate(rule.taken_back.on if rule.taken_back is not None else ()):
        path = ("taken_back", "on", position)
        if name == "return":
            yield path, "not_allowed", "a return takes back what its activity earned by itself"
        elif name in rule.on:
            yield path, "not_allowed", f"the rule earns on {name}"


def _budget(rule: Rule, outline: Outline) -> Iterator[_Found]:
    if rule.budget is None:
        return
    said = [key for key in ("points", "amount") if getattr(rule.budget, key) is not None]
    if not said:
        yield ("budget",), "missing", "a budget needs one of points and amount"
    elif len(said) > 1:
        yield ("budget", "amount"), "not_allowed", "a budget has one of points and amount"
    if rule.budget.amount is not None and rule.funding is not None:
        if rule.funding.price is None:
            yield ("budget", "amount"), "unknown_reference", "an amount buys points at a price, and funding has none"
        elif not Fraction(rule.funding.price):
            yield ("budget", "amount"), "not_allowed", "points that cost nothing never use up an amount"
        elif outline.currency is not None and rule.funding.currency not in {None, outline.currency}:
            detail = f"its price is in {rule.funding.currency}, and budgets are kept in {outline.currency}"
            yield ("budget", "amount"), "foreign_currency", detail


def _conditions(rule: Rule, outline: Outline) -> Iterator[_Found]:
    attributes = outline.attributes
    assert attributes is not None
    where = where_scope(
        attributes.activity,
        attributes.member,
        day_parts=bool(outline.day_parts),
        stores=bool(outline.stores),
        tiers=outline.has_tiers,
    )
    scopes: list[tuple[str, str | None, Scope]] = [
        ("where", rule.where, where),
        ("lines", rule.lines, lines_scope(attributes.line)),
    ]
    is_right = True
    for key, source, scope in scopes:
        for fault in condition_faults(source, scope) if source is not None else ():
            is_right = False
            yield (key,), fault.code, str(fault)
    if is_right:
        yield from unreachable_faults(rule, outline.rules, outline.groups, _words(outline))


def _words(outline: Outline) -> dict[str, frozenset[str]]:
    """Return the words that a condition may find under names whose words the document itself says."""
    found = {"activity.day_part": frozenset(outline.day_parts)}
    types = [store.type if store is not None else None for store in outline.stores.values()]
    if None not in types:
        found["activity.store_type"] = frozenset(type_ for type_ in types if type_ is not None)
    if outline.tiers is not None:
        found["member.tier"] = frozenset(level.tier for level in outline.tiers.levels)
    return found


def _numbers(rule: Rule, attributes: Attributes) -> Iterator[_Found]:
    if rule.rate is None:
        return
    for position, name in enumerate(rule.rate.of):
        path = ("rate", "of") if len(rule.rate.of) == 1 else ("rate", "of", position)
        attribute = name.removeprefix("attributes.")
        if name in rule.rate.of[:position]:
            yield path, "repeated", f"{name} is named twice"
        elif name != attribute and attributes.activity.get(attribute) != "integer":
            yield path, "unknown_reference", f"{attribute} is not declared as an integer under attributes/activity"
    if rule.lines is not None and rule.rate.of != ("amount",):
        yield ("lines",), "not_allowed", "of the lines picked a rate takes the amounts"


def _limit(rule: Rule, outline: Outline) -> Iterator[_Found]:
    if rule.limit is not None and rule.limit.per == "day_part" and not outline.day_parts:
        yield ("limit", "per"), "unknown_reference", "there are no day_parts"


def _dates(rule: Rule, outline: Outline) -> Iterator[_Found]:
    if rule.starts_at is not None and rule.ends_at is not None and rule.ends_at <= rule.starts_at:
        yield ("ends_at",), "out_of_range", "the rule would end before it starts"
    if rule.starts_at is not None and outline.closes_at is not None and rule.starts_at >= outline.closes_at:
        yield ("starts_at",), "unreachable", "nothing is earned any more once the program has closed"


def _group(rule: Rule, outline: Outline) -> Iterator[_Found]:
    if rule.group is None:
        if rule.priority:
            yield ("priority",), "not_allowed", "a priority orders the rules of a group"
        return
    if rule.group not in outline.groups:
        yield ("group",), "unknown_reference", f"there is no group {rule.group} under groups"
    for other in outline.rules.values():
        if other is rule:
            break
        if other.group == rule.group and other.unit != rule.unit:
            yield ("group",), "not_allowed", f"{other.rule} of this group earns {other.unit}, this rule {rule.unit}"
            break


def _cap(index: int, cap: Cap, outline: Outline) -> Iterator[_Found]:
    if outline.units is not None and cap.unit not in outline.units:
        yield ("unit",), "unknown_reference", f"there is no unit {cap.unit} under units"
    unit = (outline.units or {}).get(cap.unit)
    if unit is not None and unit.counts_only:
        yield ("unit",), "not_allowed", f"{cap.unit} only counts: it is no points, so nothing caps it"
    if cap.of == "granted" and cap.window is None:
        yield ("window",), "missing", "a cap on what is granted needs the window that it counts over"
    if cap.of == "outstanding":
        for key in ("window", "rules"):
            if getattr(cap, key) is not None:
                yield (key,), "not_allowed", "what is outstanding is a balance, whatever granted it and when"
    for position, name in enumerate(cap.rules or ()):
        rule = next((rule for rule in outline.rules.values() if rule.rule == name), None)
        if name not in outline.rule_ids.values():
            yield ("rules", position), "unknown_reference", f"there is no rule {name}"
        elif rule is not None and rule.unit != cap.unit:
            yield ("rules", position), "unknown_reference", f"{name} earns {rule.unit}, the cap counts {cap.unit}"
    if cap.where is not None and outline.attributes is not None:
        for fault in condition_faults(cap.where, member_scope(outline.attributes.member)):
            yield ("where",), fault.code, str(fault)
    yield from _cap_dates(cap)
    yield from _other_bounds(index, cap, outline)


def _cap_dates(cap: Cap) -> Iterator[_Found]:
    for key in ("windows_from", "windows_until"):
        if getattr(cap, key) is not None and cap.window in {None, "transaction", "lifetime"}:
            yield (key,), "not_allowed", "only windows that start again have a date from or until which they count"
    if cap.windows_from is not None and cap.windows_until is not None and cap.windows_until <= cap.windows_from:
        yield ("windows_until",), "out_of_range", "no window starts within these dates"


def _other_bounds(index: int, cap: Cap, outline: Outline) -> Iterator[_Found]:
    """Caps of one name are one cap, of which the first that holds says the limit."""
    for place, other in outline.caps.items():
        if place >= index:
            return
        if other.cap != cap.cap:
            continue
        if (other.unit, other.of, other.window, other.rules) != (cap.unit, cap.of, cap.window, cap.rules):
            yield ("cap",), "repeated", f"caps/{place} has this name, but counts something else"
            return
        if other.where is None and other.windows_from is None and other.windows_until is None:
            yield ("cap",), "not_allowed", f"this is never reached: caps/{place} always holds"
            return


def _places(outline: Outline) -> Iterator[Fault]:
    for name, store in outline.stores.items():
        if store is not None and store.time_zone is not None:
            for fault in _zone(store.time_zone):
                yield Fault(pointer_to(("stores", name, "time_zone")), fault.code, fault.detail)
    parts = {name: part for name, part in outline.day_parts.items() if part is not None}
    for name, other in overlapping(parts):
        yield Fault(pointer_to(("day_parts", name)), "not_allowed", f"this overlaps {other}")


def _measure(rule: Rule) -> Iterator[_Found]:
    said = [key for key in ("rate", "multiplier", "fixed") if getattr(rule, key) is not None]
    if not said:
        yield (), "missing", "a rule needs one of rate, multiplier and fixed"
    for extra in said[1:]:
        yield (extra,), "not_allowed", f"a rule has one of rate, multiplier and fixed; this one has {said[0]}"
    if rule.multiplier is None:
        return
    if rule.lines is not None:
        yield ("lines",), "not_allowed", "a multiplier takes the lines of the rule it multiplies"
    shares = [key for key in ("percent", "fraction") if getattr(rule.multiplier, key) is not None]
    if not shares:
        yield ("multiplier",), "missing", "a multiplier needs one of percent and fraction"
    elif len(shares) > 1:
        yield ("multiplier", "fraction"), "not_allowed", "a multiplier has one of percent and fraction"


def _multiplied(index: int, rule: Rule, outline: Outline) -> Iterator[_Found]:
    assert rule.multiplier is not None
    bases = rule.multiplier.of
    for position, name in enumerate(bases):
        path = ("multiplier", "of") if len(bases) == 1 else ("multiplier", "of", position)
        if name in bases[:position]:
            yield path, "repeated", f"{name} is named twice"
            continue
        place = next((at for at, known in outline.rule_ids.items() if known == name), None)
        if place is None:
            yield path, "unknown_reference", f"there is no rule {name}"
        elif place >= index:
            yield path, "unknown_reference", f"{name} must stand before the rule that multiplies it"
        elif (base := outline.rules.get(place)) is not None:
            yield from _multiplies(rule, base, path, outline)


def _multiplies(rule: Rule, base: Rule, path: Path, outline: Outline) -> Iterator[_Found]:
    if base.unit != rule.unit:
        yield path, "unknown_reference", f"{base.rule} earns {base.unit}, this rule {rule.unit}"
    if not set(base.on) & set(rule.on):
        yield path, "unknown_reference", f"{base.rule} earns on none of the types of this rule"
    group = outline.groups.get(base.group) if base.group is not None else None
    if group is not None and group.stack != "all":
        yield path, "not_allowed", f"{base.rule} may give way to others of its group, so nothing can build on it"


def _validity(validity: Validity, path: Path) -> Iterator[Fault]:
    if isinstance(validity, Rolling):
        said = [key for key in ("years", "months", "days") if getattr(validity, key) is not None]
        if not said:
            yield Fault(pointer_to(path), "missing", "rolling needs one of years, months and days")
        for extra in said[1:]:
            yield Fault(pointer_to((*path, extra)), "not_allowed", "rolling has one of years, months and days")


def _zone(name: str | None) -> Iterator[Fault]:
    if name is None:
        return
    try:
        zone_named(name)
    except ValueError as error:
        yield Fault("/time_zone", "unknown_time_zone", str(error))


def _attributes(attributes: Attributes | None) -> Iterator[Fault]:
    if attributes is None:
        return
    for subject in ("activity", "line", "member"):
        for name in getattr(attributes, subject):
            if name in RESERVED:
                path = pointer_to(("attributes", subject, name))
                yield Fault(path, "not_allowed", f"{name} is a reserved word of CEL, so no condition could read it")


def _readable(kind: type[P], parts: Mapping[Any, Any]) -> dict[Any, P]:
    """The parts that are right by themselves."""
    readable: dict[Any, P] = {}
    for key, part in parts.items():
        try:
            readable[key] = kind.model_validate_json(msgspec.json.encode(part))
        except ValidationError:
            continue
    return readable


def _readable_named(kind: type[P], parts: object) -> dict[str, P | None]:
    """The named parts that are right by themselves; None for those that are not."""
    return dict.fromkeys(parts) | _readable(kind, parts) if isinstance(parts, dict) else {}
