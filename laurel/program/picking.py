"""Which rules pick which lines of a basket: by dictionaries, so that a line meets only the rules that may want it."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

from laurel.program.conditions import MEMO_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from laurel.program.bases import LineLike
    from laurel.program.conditions import Condition
    from laurel.program.rules import CompiledRule

Table = dict[str, tuple["CompiledRule", ...]]
Matched = dict["CompiledRule", list[int]]


class LinePicker:
    """Finds, for the lines of a basket, the rules whose line conditions hold."""

    __slots__ = ("_by_attribute", "_by_field", "_every_line", "_remembered")

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        conditions = [(rule, rule.lines) for rule in rules if rule.lines is not None]
        remembered = [(rule, condition) for rule, condition in conditions if condition.uses_cel]
        plain = [(rule, condition) for rule, condition in conditions if not condition.uses_cel]
        self._remembered = RememberedRules(remembered) if remembered else None
        self._every_line = tuple((rule, condition) for rule, condition in plain if condition.guard is None)
        tables = _tables(plain)
        self._by_field = tuple((attrgetter(key), table) for key, is_attribute, table in tables if not is_attribute)
        self._by_attribute = tuple((key, table) for key, is_attribute, table in tables if is_attribute)

    def matched(self, lines: Sequence[LineLike], member: Mapping[str, Any]) -> Matched:
        """Return the places of the lines that each rule picks; rules that pick none are not there."""
        matched: Matched = {}
        for place, line in enumerate(lines):
            for get, table in self._by_field:
                rules = table.get(get(line))
                if rules is not None:
                    _pick(rules, place, line, member, matched)
            if self._by_attribute:
                attributes = line.attributes
                for key, table in self._by_attribute:
                    rules = table.get(attributes.get(key))  # type: ignore[arg-type]  # None finds nothing
                    if rules is not None:
                        _pick(rules, place, line, member, matched)
            for rule, condition in self._every_line:
                if condition.holds_beyond(line, member):
                    matched.setdefault(rule, []).append(place)
            if self._remembered is not None:
                for rule in self._remembered.picking(line, member):
                    matched.setdefault(rule, []).append(place)
        return matched


class RememberedRules:
    """Rules whose line conditions need CEL, found together by the words that they read of a line.

    The words of a line (its category, its brand) repeat endlessly, so that all these rules cost one look-up; what they
    ask of numbers is asked each time.
    """

    __slots__ = ("_memory", "_reads", "_rules")

    def __init__(self, rules: Sequence[tuple[CompiledRule, Condition]]) -> None:
        self._rules = tuple(rules)
        words = {word.path: word.read for _, condition in rules for word in condition.word_fields}
        self._reads = tuple(words.values())
        self._memory: dict[tuple[Any, ...], tuple[tuple[CompiledRule, Condition], ...]] = {}

    def picking(self, line: LineLike, member: Mapping[str, Any]) -> Iterable[CompiledRule]:
        """Return the rules that pick a line."""
        words = tuple([read(line, member) for read in self._reads])
        found = self._memory.get(words)
        if found is None:
            found = tuple(pair for pair in self._rules if pair[1].words_hold(line, member))
            if len(self._memory) >= MEMO_MAX:
                self._memory.clear()
            self._memory[words] = found
        return [rule for rule, condition in found if condition.numbers_hold(line, member)] if found else ()


def _pick(
    rules: tuple[CompiledRule, ...],
    place: int,
    line: LineLike,
    member: Mapping[str, Any],
    matched: Matched,
) -> None:
    for rule in rules:
        if rule.lines.holds_beyond(line, member):  # type: ignore[union-attr]  # it came by its guard
            matched.setdefault(rule, []).append(place)


def _tables(rules: Iterable[tuple[CompiledRule, Condition]]) -> list[tuple[str, bool, Table]]:
    """Rules by the value of the field that their guard asks for, one table for each such field."""
    tables: dict[str, tuple[str, bool, Table]] = {}
    for rule, condition in rules:
        guard = condition.guard
        if guard is None:
            continue
        _, _, table = tables.setdefault(guard.field.path, (guard.field.key, guard.field.is_attribute, {}))
        for value in guard.values:
            table[value] = (*table.get(value, ()), rule)
    return list(tables.values())
