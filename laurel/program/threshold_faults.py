"""What is wrong with what a rule waits for other rules to have given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.program.birthdays import BIRTHDAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from laurel.program.document import Rule, Unit

    _Found = tuple[tuple[str | int, ...], str, str]

_NOT_BESIDE = ("group", "limit", "to", "taken_back")


def threshold_faults(
    index: int, rule: Rule, rules: Mapping[int, Rule], names: Mapping[int, str], unit: Unit | None
) -> Iterator[_Found]:
    """Yield faults as (path within the rule, code, detail)."""
    if rule.threshold is None:
        yield from _built_upon(rule, rules)
        return
    if rule.fixed is None or rule.fixed.per != "activity":
        yield ("threshold",), "not_allowed", "what is given once in a window is fixed, and per activity"
    if unit is not None and unit.counts_only:
        yield ("threshold",), "not_allowed", f"{rule.unit} only counts: a threshold gives points"
    for key in _NOT_BESIDE:
        if getattr(rule, key) is not None:
            yield (key,), "not_allowed", "it does not go with a threshold, which is for the member, once in its window"
    if BIRTHDAY in rule.on:
        yield ("on", rule.on.index(BIRTHDAY)), "not_allowed", "a birthday counts towards nothing"
    yield from _added_up(index, rule, rules, names)


def _added_up(index: int, rule: Rule, rules: Mapping[int, Rule], names: Mapping[int, str]) -> Iterator[_Found]:
    assert rule.threshold is not None
    of = rule.threshold.of
    first: Rule | None = None
    for position, name in enumerate(of):
        path = ("threshold", "of") if len(of) == 1 else ("threshold", "of", position)
        place = next((at for at, known in names.items() if known == name), None)
        base = rules.get(place) if place is not None else None
        if name in of[:position]:
            yield path, "repeated", f"{name} is named twice"
        elif place is None:
            yield path, "unknown_reference", f"there is no rule {name}"
        elif place >= index:
            yield path, "unknown_reference", f"{name} must stand before the rule that adds it up"
        elif base is not None:
            first = first or base
            if base.unit != first.unit:
                yield path, "not_allowed", f"{base.rule} earns {base.unit}, {first.rule} {first.unit}"
            if base.to is not None or base.pending is not None or base.threshold is not None:
                yield path, "not_allowed", f"{base.rule} is for another, waits, or has a threshold itself"


def _built_upon(rule: Rule, rules: Mapping[int, Rule]) -> Iterator[_Found]:
    bases = rule.multiplier.of if rule.multiplier is not None else ()
    for position, name in enumerate(bases):
        base = next((other for other in rules.values() if other.rule == name), None)
        if base is not None and base.threshold is not None:
            path = ("multiplier", "of") if len(bases) == 1 else ("multiplier", "of", position)
            yield path, "not_allowed", f"{name} has a threshold, so nothing can build on it"
