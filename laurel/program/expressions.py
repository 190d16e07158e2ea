"""The tree of a condition, and the way back from it to CEL over flat names.

The language is the part of CEL that a program needs: literals, names, `&& || !`, comparisons, `in`, integer
arithmetic, `?:`, `has(name)` and the text methods `startsWith`, `endsWith`, `contains`. Parsing it here (and not only
in the CEL library) is what gives every fault a column, lets names be checked before anything runs, and shows which
parts of a conjunction are plain comparisons that need no CEL at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from laurel.errors import LaurelError


class ConditionFault(LaurelError):  # noqa: N818  # it becomes a Fault, and is named like one
    """What is wrong with a condition, and at which column (counted from 1)."""

    def __init__(self, code: str, column: int, detail: str) -> None:
        super().__init__(f"column {column}: {detail}")
        self.code = code
        self.column = column
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int | bool
    column: int


@dataclass(frozen=True, slots=True)
class Name:
    path: str
    column: int


@dataclass(frozen=True, slots=True)
class Has:
    name: Name
    column: int


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[Node, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Node
    column: int


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Node
    right: Node
    column: int


@dataclass(frozen=True, slots=True)
class Choice:
    test: Node
    then: Node
    otherwise: Node
    column: int


@dataclass(frozen=True, slots=True)
class Method:
    target: Node
    name: str
    argument: Node
    column: int


Node = Literal | Name | Has | Items | Unary | Binary | Choice | Method


def conjuncts(node: Node) -> list[Node]:
    """The parts of a top-level `a && b && c`, in the order written."""
    if isinstance(node, Binary) and node.operator == "&&":
        return conjuncts(node.left) + conjuncts(node.right)
    return [node]


def names_in(node: Node) -> list[Name]:
    """Every name that is read, in the order written; a name only asked for by has() is not among them."""
    if isinstance(node, Name):
        return [node]
    return [name for child in _children(node) for name in names_in(child)]


def asked_in(node: Node) -> list[Name]:
    """Every name whose presence is asked for by has()."""
    if isinstance(node, Has):
        return [node.name]
    return [name for child in _children(node) for name in asked_in(child)]


def flat(path: str) -> str:
    """`line.attributes.size` as the flat scalar `line__attributes__size`."""
    return path.replace(".", "__")


def asked(path: str) -> str:
    """The flat scalar that answers has(path)."""
    return "has__" + flat(path)


def render(node: Node) -> str:  # noqa: PLR0911  # one for each kind of node
    """The tree as CEL over flat scalars, fully bracketed."""
    match node:
        case Literal(value=bool() as value):
            return "true" if value else "false"
        case Literal(value=int() as value):
            return str(value) if value >= 0 else f"({value})"
        case Literal(value=str() as value):
            return _quoted(value)
        case Name():
            return flat(node.path)
        case Has():
            return asked(node.name.path)
        case Items():
            return "[" + ", ".join(render(item) for item in node.items) + "]"
        case Unary():
            return f"({node.operator}{render(node.operand)})"
        case Binary():
            return f"({render(node.left)} {node.operator} {render(node.right)})"
        case Choice():
            return f"({render(node.test)} ? {render(node.then)} : {render(node.otherwise)})"
        case Method():
            return f"{render(node.target)}.{node.name}({render(node.argument)})"
    raise AssertionError(node)  # pragma: no cover


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Items():
            return node.items
        case Unary():
            return (node.operand,)
        case Binary():
            return (node.left, node.right)
        case Choice():
            return (node.test, node.then, node.otherwise)
        case Method():
            return (node.target, node.argument)
        case _:
            return ()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if " " <= c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
