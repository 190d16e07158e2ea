"""A document with some of its values changed, and what a change of a document would touch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

from laurel.contracts.reading import pointer_to
from laurel.errors import Fault
from laurel.program.faults import ProgramFaults


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with each value put where its JSON Pointer says; null takes an optional value away.

    A pointer may name a new member of an object, an element of a list, or `-` for one after its last. Raises
    ProgramFaults that point at the changes which name no place.
    """
    whole: dict[str, Any] = deepcopy(dict(document))
    faults = [fault for pointer, value in changes.items() if (fault := _put(whole, pointer, value)) is not None]
    if faults:
        raise ProgramFaults(faults)
    return whole


def pointer_of_change(pointer: str) -> str:
    """Return the pointer to a change within the changes, whose names are pointers themselves."""
    return f"/changes/{pointer.replace('~', '~0').replace('/', '~1')}"


def _put(whole: dict[str, Any], pointer: str, value: object) -> Fault | None:
    if not pointer.startswith("/"):
        return _nowhere(pointer, "A JSON Pointer begins with a slash")
    *path, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
    place: Any = whole
    for part in path:
        place = _inside(place, part)
    if isinstance(place, dict):
        place[last] = deepcopy(value)
    elif isinstance(place, list) and last == "-":
        place.append(deepcopy(value))
    elif isinstance(place, list) and _is_index(last, len(place)):
        place[int(last)] = deepcopy(value)
    else:
        return _nowhere(pointer, "The document has no such place")
    return None


def _inside(place: object, part: str) -> object:
    if isinstance(place, dict):
        return place.get(part)
    if isinstance(place, list) and _is_index(part, len(place)):
        return place[int(part)]
    return None


def _is_index(part: str, length: int) -> bool:
    return part.isascii() and part.isdecimal() and (part == "0" or part[0] != "0") and int(part) < length


def _nowhere(pointer: str, detail: str) -> Fault:
    return Fault(pointer_of_change(pointer), "no_such_place", detail)


_FOR_GOOD = {
    "clock": "A program's clock is that of its first version, {}; a copy of it (POST …/copy) may have another",
    "time_zone": "A program's time zone is that of its first version, {}: by it days, windows and ends are promised",
}


def faults_of_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Fault]:
    """Return what a version may not have otherwise than the one before it, both as plain values."""
    faults = [
        Fault(f"/{name}", "fixed", detail.format(before[name]))
        for name, detail in _FOR_GOOD.items()
        if before.get(name) != after.get(name)
    ]
    for unit, said in before.get("units", {}).items():
        now = after.get("units", {}).get(unit)
        if now is not None and now.get("scale", 0) != said.get("scale", 0):
            detail = f"A unit keeps its scale, {said.get('scale', 0)}: members have amounts of it"
            faults.append(Fault(pointer_to(("units", unit, "scale")), "fixed", detail))
    return faults


Applies = Literal["new_lots", "open_lots", "all"]
"""Whether a change speaks of points that arise from now on, of those that are there, or of whatever there is.

A lot keeps the end that it was given (S14), so a validity speaks of new ones. Where points end by inactivity they have
none of their own: all of them end as the version in force says. A member is reviewed by the tiers in force then.
"""


@dataclass(frozen=True, slots=True)
class Touched:
    """What a change of expiry or tiers speaks of: units and rules whose points would last otherwise, or everybody.

    `own` are the rules whose points have an end of their own, so that a change of their unit passes them by.
    """

    units: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    tiers: bool = False
    pointers: tuple[str, ...] = ()
    applies: tuple[Applies, ...] = ()
    """To what each of the pointers applies."""


def touched(before: Mapping[str, Any], after: Mapping[str, Any]) -> Touched:
    """Compare two documents, as plain values, in what they say of expiry and tiers."""
    units = tuple(_units(before, after))
    old, new = _validities(before), _validities(after)
    rules = tuple(rule for rule in old if rule in new and old[rule] != new[rule])
    tiers = before.get("tiers") != after.get("tiers")
    pointers = [f"/units/{unit}/validity" for unit in units]
    applies: list[Applies] = ["all" if _by_inactivity(before, after, unit) else "new_lots" for unit in units]
    numbers = {rule.get("rule"): number for number, rule in enumerate(after.get("earning", ()))}
    pointers += [f"/earning/{numbers[rule]}/validity" for rule in rules]
    applies += ["new_lots"] * len(rules)
    if tiers:
        pointers.append("/tiers")
        applies.append("all")
    own = tuple(rule for rule, validity in old.items() if validity is not None)
    return Touched(units, rules, own, tiers, tuple(pointers), tuple(applies))


def _by_inactivity(before: Mapping[str, Any], after: Mapping[str, Any], unit: str) -> bool:
    kinds = {(document["units"][unit].get("validity") or {}).get("kind") for document in (before, after)}
    return kinds == {"inactivity"}


def _units(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for unit, said in before.get("units", {}).items():
        now = after.get("units", {}).get(unit)
        if now is not None and now.get("validity") != said.get("validity"):
            yield unit


def _validities(document: Mapping[str, Any]) -> dict[str, Any]:
    return {rule["rule"]: rule.get("validity") for rule in document.get("earning", ())}
