"""Rules that could never earn, which their author cannot have meant: most often a word is misspelt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from laurel.program.conditions import words_asked
from laurel.program.expressions import conjuncts
from laurel.program.parsing import parse

if TYPE_CHECKING:
    from laurel.program.document import Group, Rule

_Found = tuple[tuple[str | int, ...], str, str]
_CODE = "unreachable"


def never_true(where: str, known: Mapping[str, frozenset[str]]) -> str | None:
    """Say why a condition, which has no other fault, can never hold; None where it may.

    `known` are the words that a name can have at all. Looked at is what all has to hold at once.
    """
    asked: dict[str, frozenset[str]] = {}
    for node in conjuncts(parse(where)):
        found = words_asked(node)
        if found is None:
            continue
        name, words = found
        possible = known.get(name)
        if possible is not None and not words & possible:
            there = ", ".join(sorted(possible)) or "none"
            return f"column {node.column}: {name} is never {' or '.join(sorted(words))}; there is {there}"
        if name in asked and not words & asked[name]:
            return f"column {node.column}: {name} would be two things at once"
        asked[name] = words & asked.get(name, words)
    return None


def behind_what_always_earns(rule: Rule, rules: Mapping[int, Rule], groups: Mapping[str, Group | None]) -> str | None:
    """Name the rule of its group that always earns first, so that this one never does."""
    group = groups.get(rule.group) if rule.group is not None else None
    if group is None or group.stack != "first":
        return None
    ordered = sorted((each for each in rules.values() if each.group == rule.group), key=lambda each: -each.priority)
    for other in ordered:
        if other is rule:
            return None
        if _always_earns(other) and set(rule.on) <= set(other.on):
            return other.rule
    return None


def _always_earns(rule: Rule) -> bool:
    """Say whether a rule earns on every activity of its types on which any rule could earn."""
    asks = (
        rule.where,
        rule.lines,
        rule.limit,
        rule.threshold,
        rule.budget,
        rule.starts_at,
        rule.ends_at,
        rule.to,
        rule.given,
    )
    return (
        rule.fixed is not None
        and rule.fixed.per == "activity"
        and not rule.segments
        and all(each is None for each in asks)
    )


def unreachable_faults(
    rule: Rule, rules: Mapping[int, Rule], groups: Mapping[str, Group | None], known: Mapping[str, frozenset[str]]
) -> Iterator[_Found]:
    """Yield why a rule can never earn. Its conditions must have no other fault."""
    never = never_true(rule.where, {**known, "activity.type": frozenset(rule.on)}) if rule.where is not None else None
    if never is not None:
        yield ("where",), _CODE, never
    first = behind_what_always_earns(rule, rules, groups)
    if first is not None:
        yield ("group",), _CODE, f"{first} of this group always earns before it"
