"""What is wrong across the parts of a document: references, choices of exactly one, conditions.

Works on whatever parts could be read, so that an author sees these faults together with those of single fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from pydantic import ValidationError

from laurel.calendars import zone_named
from laurel.contracts.reading import pointer_to
from laurel.errors import Fault
from laurel.program.conditions import condition_faults
from laurel.program.document import Attributes, Part, ProgramDocument, Rolling, Rule, Tiers, Unit, Validity
from laurel.program.parsing import RESERVED
from laurel.program.scopes import lines_scope, where_scope
from laurel.program.tier_faults import rule_tier_faults, tier_faults, unit_faults

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
    tiers: Tiers | None = None
    has_tiers: bool = False


def outline_of(document: ProgramDocument) -> Outline:
    """Return the outline of a document whose fields are all right."""
    rules = dict(enumerate(document.earning))
    return Outline(
        time_zone=document.time_zone,
        attributes=document.attributes,
        units=document.units,
        rules=rules,
        rule_ids={index: rule.rule for index, rule in rules.items()},
        tiers=document.tiers,
        has_tiers=document.tiers is not None,
    )


def outline_of_parts(data: Mapping[str, Any]) -> Outline:
    """Return the outline of a document of which some fields are wrong."""
    zone, units, earning = data.get("time_zone"), data.get("units"), data.get("earning")
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
        tiers=_readable(Tiers, {"": data.get("tiers")}).get(""),
        has_tiers=data.get("tiers") is not None,
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
    for index, rule in outline.rules.items():
        for path, code, detail in _rule(index, rule, outline):
            yield Fault(pointer_to(("earning", index, *path)), code, detail)
    if outline.tiers is not None:
        yield from tier_faults(outline.tiers, outline.units, outline.attributes)


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
        yield from _conditions(rule, outline.attributes, tiers=outline.has_tiers)
        yield from _numbers(rule, outline.attributes)
    yield from _measure(rule)
    if rule.multiplier is not None:
        yield from _multiplied(index, rule, outline)
    unit = (outline.units or {}).get(rule.unit)
    yield from rule_tier_faults(rule, unit, outline.tiers, has_tiers=outline.has_tiers)
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


def _conditions(rule: Rule, attributes: Attributes, *, tiers: bool) -> Iterator[_Found]:
    scopes: list[tuple[str, str | None, Scope]] = [
        ("where", rule.where, where_scope(attributes.activity, attributes.member, tiers=tiers)),
        ("lines", rule.lines, lines_scope(attributes.line)),
    ]
    for key, source, scope in scopes:
        for fault in condition_faults(source, scope) if source is not None else ():
            yield (key,), fault.code, str(fault)


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
    path = ("multiplier", "of")
    place = next((at for at, name in outline.rule_ids.items() if name == rule.multiplier.of), None)
    if place is None:
        yield path, "unknown_reference", f"there is no rule {rule.multiplier.of}"
        return
    if place >= index:
        yield path, "unknown_reference", f"{rule.multiplier.of} must stand before the rule that multiplies it"
        return
    base = outline.rules.get(place)
    if base is None:
        return
    if base.unit != rule.unit:
        yield path, "unknown_reference", f"{base.rule} earns {base.unit}, this rule {rule.unit}"
    if not set(base.on) & set(rule.on):
        yield path, "unknown_reference", f"{base.rule} earns on none of the types of this rule"


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
