"""A condition ready for the hot path: plain comparisons in Python, the rest in CEL, remembered by what it read.

A top-level conjunction is split. `field == "x"` and `field in ["x", "y"]` are *guards*, by which rules are found in a
dictionary; comparisons of whole numbers with a constant run as they are; only what remains calls CEL, on the flat
scalars it reads and nothing else.

What is not there: a name without a value is an error in CEL, and a condition that ends in an error is false. As CEL
says, `error || true` is true and `error && false` is false, and has(name) asks.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import cel

from laurel.program.checking import type_faults
from laurel.program.expressions import (
    Binary,
    ConditionFault,
    Items,
    Literal,
    Name,
    Node,
    asked,
    asked_in,
    conjuncts,
    flat,
    names_in,
    render,
)
from laurel.program.parsing import parse
from laurel.program.scopes import Member, Read, Scope, ScopeField, Subject

MEMO_MAX: Final = 8_192
_EVALUATION_ERRORS: Final = (TypeError, ValueError, RuntimeError, ArithmeticError)

Check = Callable[[Subject, Member], bool]
"""Asks one thing of a subject (a basis or a line) and the member's attributes."""


@dataclass(frozen=True, slots=True)
class Guard:
    """`field == value` or `field in [values]` over a text, from a top-level conjunction."""

    field: ScopeField
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition: its guard, what else it asks of words (text, true or false), and what it asks of numbers.

    Words repeat from line to line, so `words` may be remembered by the values of `word_fields`; numbers hardly do.
    """

    source: str
    guard: Guard | None
    words: tuple[Check, ...]
    word_fields: tuple[ScopeField, ...]
    numbers: tuple[Check, ...]
    uses_cel: bool

    def holds(self, subject: Subject, member: Member) -> bool:
        return self.words_hold(subject, member) and self.numbers_hold(subject, member)

    def holds_beyond(self, subject: Subject, member: Member) -> bool:
        """Whether the condition holds, for one who came by its guard."""
        return _all(self.words, subject, member) and _all(self.numbers, subject, member)

    def words_hold(self, subject: Subject, member: Member) -> bool:
        """Whether everything holds that it asks of words, its guard included."""
        guard = self.guard
        if guard is not None and guard.field.read(subject, member) not in guard.values:
            return False
        return _all(self.words, subject, member)

    def numbers_hold(self, subject: Subject, member: Member) -> bool:
        """Whether everything holds that it asks of numbers."""
        return _all(self.numbers, subject, member)


def _all(checks: tuple[Check, ...], subject: Subject, member: Member) -> bool:
    # A plain loop: this runs for every line, and a generator would cost more than the checks.
    for check in checks:  # noqa: SIM110
        if not check(subject, member):
            return False
    return True


def condition_faults(source: str, scope: Scope) -> list[ConditionFault]:
    """Return everything that is wrong with a condition; empty where compile_condition would take it."""
    try:
        tree = parse(source)
    except ConditionFault as fault:
        return [fault]
    faults = type_faults(tree, scope)
    return faults or _trial_faults(tree, scope)


def compile_condition(source: str, scope: Scope) -> Condition:
    """Compile a condition that has no faults."""
    guards: list[Guard] = []
    words: list[Check] = []
    numbers: list[Check] = []
    rest: list[Node] = []
    tree = parse(source)
    for part in conjuncts(tree):
        if (guard := _guard(part, scope)) is not None:
            guards.append(guard)
        elif (comparison := _comparison(part, scope)) is not None:
            numbers.append(comparison)
        else:
            rest.append(part)
    chosen = min(guards, key=_coarseness, default=None)
    words += [_among(guard) for guard in guards if guard is not chosen]
    counting, wording = _parted(rest, scope)
    words += [_Rest(part, scope) for part in wording]
    numbers += [_Rest(part, scope) for part in counting]
    fields = {name.path: scope[name.path] for name in (*names_in(tree), *asked_in(tree))}
    return Condition(
        source,
        chosen,
        tuple(words),
        tuple(read for read in fields.values() if read.kind != "integer"),
        tuple(numbers),
        uses_cel=bool(rest),
    )


def _parted(rest: list[Node], scope: Scope) -> tuple[list[Node], list[Node]]:
    """What CEL answers, as at most one tree that reads numbers and at most one that reads none."""
    counting = [
        part for part in rest if any(scope[name.path].kind == "integer" for name in (*names_in(part), *asked_in(part)))
    ]
    wording = [part for part in rest if part not in counting]
    return ([_joined(counting)] if counting else []), ([_joined(wording)] if wording else [])


def _reads_numbers(tree: Node, scope: Scope) -> bool:
    return any(scope[name.path].kind == "integer" for name in (*names_in(tree), *asked_in(tree)))


# Fields with many values lead to few rules and few lines, so they are looked up first; a brand has but two or three.
_FINE: Final = ("sku", "category", "store", "campaign", "partner")
_COARSE: Final = ("day_part", "store_type", "channel", "brand", "currency", "type")


def _coarseness(guard: Guard) -> int:
    field = guard.field
    if field.is_attribute:
        return len(_FINE)
    order = (*_FINE, "", *_COARSE)
    return order.index(field.key) if field.key in order else len(_FINE)


def words_asked(node: Node) -> tuple[str, frozenset[str]] | None:
    """Return a name and the words of which a node asks that it be one; None where it asks something else."""
    if not isinstance(node, Binary):
        return None
    if node.operator == "==":
        for name, constant in ((node.left, node.right), (node.right, node.left)):
            if isinstance(name, Name) and isinstance(constant, Literal) and isinstance(constant.value, str):
                return name.path, frozenset({constant.value})
    if node.operator == "in" and isinstance(node.left, Name) and isinstance(node.right, Items):
        values = [item.value for item in node.right.items if isinstance(item, Literal) and isinstance(item.value, str)]
        if len(values) == len(node.right.items):
            return node.left.path, frozenset(values)
    return None


def _guard(node: Node, scope: Scope) -> Guard | None:
    asked_for = words_asked(node)
    return None if asked_for is None else Guard(scope[asked_for[0]], asked_for[1])


def _among(guard: Guard) -> Check:
    read, values = guard.field.read, guard.values
    return lambda subject, member: read(subject, member) in values


_PLAIN: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _comparison(node: Node, scope: Scope) -> Check | None:
    """A whole number compared with a constant, which Python answers just as CEL would."""
    if not isinstance(node, Binary) or node.operator not in _PLAIN:
        return None
    name, constant, sign = node.left, node.right, node.operator
    if isinstance(name, Literal):
        name, constant, sign = node.right, node.left, _MIRRORED[node.operator]
    if not (isinstance(name, Name) and isinstance(constant, Literal) and type(constant.value) is int):
        return None
    read, compare, bound = scope[name.path].read, _PLAIN[sign], constant.value

    def holds(subject: Subject, member: Member) -> bool:
        value = read(subject, member)
        return value is not None and compare(value, bound)

    return holds


def _joined(parts: list[Node]) -> Node:
    whole = parts[0]
    for part in parts[1:]:
        whole = Binary("&&", whole, part, part.column)
    return whole


class _Rest:
    """The part of a condition that CEL answers, remembered by the values it read.

    Every value has one type (see scopes), so that equal keys mean equal questions. A memory that is full is thrown
    away: it fills again with what is asked now.
    """

    __slots__ = ("_memory", "_names", "_program", "_reads")

    def __init__(self, tree: Node, scope: Scope) -> None:
        self._program = cel.compile(render(tree))
        reads = {flat(name.path): scope[name.path].read for name in names_in(tree)}
        reads |= {asked(name.path): _presence(scope[name.path].read) for name in asked_in(tree)}
        self._names = tuple(reads)
        self._reads = tuple(reads.values())
        self._memory: dict[tuple[Any, ...], bool] = {}

    def __call__(self, subject: Subject, member: Member) -> bool:
        values = tuple([read(subject, member) for read in self._reads])
        answer = self._memory.get(values)
        if answer is None:
            answer = self._ask(values)
            if len(self._memory) >= MEMO_MAX:
                self._memory.clear()
            self._memory[values] = answer
        return answer

    def _ask(self, values: tuple[Any, ...]) -> bool:
        bound = {name: value for name, value in zip(self._names, values, strict=True) if value is not None}
        try:
            return self._program.execute(bound) is True
        except _EVALUATION_ERRORS:
            return False


def _presence(read: Read) -> Read:
    return lambda subject, member: read(subject, member) is not None


_SAMPLES: Final = {"text": "sample", "integer": 7, "boolean": True}


def _trial_faults(tree: Node, scope: Scope) -> list[ConditionFault]:
    """Let the CEL library compile and run what our own check has passed; where they differ, the library is right."""
    bound: dict[str, Any] = {flat(name.path): _SAMPLES[scope[name.path].kind] for name in names_in(tree)}
    bound |= {asked(name.path): True for name in asked_in(tree)}
    try:
        program = cel.compile(render(tree))
        result = program.execute(bound)
    except ArithmeticError:
        return []
    except (TypeError, ValueError, RuntimeError) as error:
        return [ConditionFault("condition_type", 1, str(error).splitlines()[0])]
    if not isinstance(result, bool):
        return [ConditionFault("condition_type", 1, "a condition is true or false")]
    return []
