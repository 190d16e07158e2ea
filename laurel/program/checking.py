"""Whether a condition makes sense before it ever runs: known names, matching types, true or false at the end.

The CEL library answers `"a" == 1` with false instead of refusing it, and knows nothing of our fields; so the check
is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from laurel.program.expressions import (
    Binary,
    Choice,
    ConditionFault,
    Has,
    Items,
    Method,
    Name,
    Node,
    Unary,
)
from laurel.program.expressions import (
    Literal as Constant,
)

if TYPE_CHECKING:
    from laurel.program.scopes import Scope

Type = Literal["text", "integer", "boolean", "unknown"]
_WORDS = {"text": "a text", "integer": "a whole number", "boolean": "true or false"}


def type_faults(tree: Node, scope: Scope) -> list[ConditionFault]:
    """Return everything that is wrong with a condition, in the order written."""
    checker = _Checker(scope)
    checker.wants(tree, "boolean", "a condition is true or false")
    return sorted(checker.faults, key=lambda fault: fault.column)


class _Checker:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.faults: list[ConditionFault] = []

    def wants(self, node: Node, wanted: Type, why: str) -> None:
        found = self.type_of(node)
        if found not in {wanted, "unknown"}:
            self._fault("condition_type", node, f"{why}; this is {_WORDS[found]}")

    def type_of(self, node: Node) -> Type:  # noqa: PLR0911  # one for each kind of node
        match node:
            case Constant():
                return _constant(node)
            case Name():
                return self._name(node)
            case Has():
                self._name(node.name)
                return "boolean"
            case Unary():
                wanted: Type = "boolean" if node.operator == "!" else "integer"
                self.wants(node.operand, wanted, f"{node.operator} takes {_WORDS[wanted]}")
                return wanted
            case Method():
                self.wants(node.target, "text", f"{node.name}() belongs to a text")
                self.wants(node.argument, "text", f"{node.name}() takes a text")
                return "boolean"
            case Choice():
                self.wants(node.test, "boolean", "what is asked before ? is true or false")
                return self._same(node.then, node.otherwise, node, "the two answers of ?:")
            case Binary():
                return self._binary(node)
            case Items():
                self._fault("condition_type", node, "a list stands only after in")
                return "unknown"
        raise AssertionError(node)  # pragma: no cover

    def _binary(self, node: Binary) -> Type:
        operator = node.operator
        if operator in {"&&", "||"}:
            self.wants(node.left, "boolean", f"{operator} joins conditions")
            self.wants(node.right, "boolean", f"{operator} joins conditions")
            return "boolean"
        if operator == "in":
            self._membership(node)
            return "boolean"
        if operator in {"==", "!="}:
            self._same(node.left, node.right, node, f"the sides of {operator}")
            return "boolean"
        if operator in {"<", "<=", ">", ">="}:
            if self._same(node.left, node.right, node, f"the sides of {operator}") == "boolean":
                self._fault("condition_type", node, f"{operator} does not compare true and false")
            return "boolean"
        self.wants(node.left, "integer", f"{operator} takes whole numbers")
        self.wants(node.right, "integer", f"{operator} takes whole numbers")
        return "integer"

    def _membership(self, node: Binary) -> None:
        wanted = self.type_of(node.left)
        if not isinstance(node.right, Items):
            self._fault("condition_type", node.right, 'in is followed by a list, such as ["a", "b"]')
            return
        if not node.right.items:
            self._fault("condition_type", node.right, "the list is empty, so this is never true")
        for item in node.right.items:
            found = self.type_of(item)
            if "unknown" not in {found, wanted} and found != wanted:
                self._fault("condition_type", item, f"this is {_WORDS[found]}, compared with {_WORDS[wanted]}")

    def _same(self, left: Node, right: Node, node: Node, what: str) -> Type:
        one, other = self.type_of(left), self.type_of(right)
        if "unknown" in {one, other}:
            return other if one == "unknown" else one
        if one != other:
            self._fault("condition_type", node, f"{what} differ in type: {_WORDS[one]} and {_WORDS[other]}")
            return "unknown"
        return one

    def _name(self, node: Name) -> Type:
        field = self._scope.get(node.path)
        if field is not None:
            return field.kind
        self._fault("unknown_name", node, _unknown(node.path, self._scope))
        return "unknown"

    def _fault(self, code: str, node: Node, detail: str) -> None:
        self.faults.append(ConditionFault(code, node.column, detail))


def _constant(node: Constant) -> Type:
    if isinstance(node.value, bool):
        return "boolean"
    return "integer" if isinstance(node.value, int) else "text"


def _unknown(path: str, scope: Scope) -> str:
    subject, _, rest = path.partition(".")
    subjects = sorted(
        {known.partition(".")[0] for known in scope} | ({"member"} if "activity.type" in scope else set())
    )
    if subject not in subjects:
        return f"{path} is not known here; conditions here read {' and '.join(f'{name}.*' for name in subjects)}"
    if rest.startswith("attributes."):
        return f"{path} is not declared under attributes/{subject}"
    plain = ", ".join(known for known in scope if known.startswith(f"{subject}.") and ".attributes." not in known)
    return f"{path} is not known; there is {plain + ' and ' if plain else ''}{subject}.attributes.*"
