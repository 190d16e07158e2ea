"""The written form of a condition: text into a small tree, or the first thing in it that is not understood."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from laurel.program.expressions import (
    Binary,
    Choice,
    ConditionFault,
    Has,
    Items,
    Literal,
    Method,
    Name,
    Node,
    Unary,
)

LENGTH_MAX: Final = 2_000
DEPTH_MAX: Final = 32
TEXT_METHODS: Final = frozenset({"startsWith", "endsWith", "contains"})
RESERVED: Final = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let", "loop",
    "namespace", "null", "package", "return", "true", "var", "void", "while",
})  # fmt: skip


def parse(source: str) -> Node:
    """The tree of a condition; raises ConditionFault at the first thing that is not understood."""
    if len(source) > LENGTH_MAX:
        raise ConditionFault("condition_too_long", LENGTH_MAX + 1, f"at most {LENGTH_MAX} characters")
    parser = _Parser(_tokens(source))
    tree = parser.choice()
    parser.end()
    return tree


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
      | (?P<text>[rR]?(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''
                       |\"(?:[^"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'))
      | (?P<number>0[xX][0-9a-fA-F]+[uU]?|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[uU]?|\.\d+(?:[eE][+-]?\d+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>&&|\|\||==|!=|<=|>=|[<>!+\-*/%?:()\[\],.])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


def _tokens(source: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None:
            what = "a text that is not closed" if source[at] in "\"'" else f"{source[at]!r} is not part of a condition"
            raise ConditionFault("condition_syntax", at + 1, what)
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append(_Token(kind, found.group(), at + 1))
        at = found.end()
    tokens.append(_Token("end", "", len(source) + 1))
    return tokens


_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})


class _Parser:
    """One method for each level of precedence, loosest first."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def choice(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ConditionFault("condition_too_deep", self._next.column, f"nested deeper than {DEPTH_MAX}")
        test = self._either()
        column = self._next.column
        if self._taken("?"):
            then = self._either()
            self._expect(":")
            test = Choice(test, then, self.choice(), column)
        self._depth -= 1
        return test

    def end(self) -> None:
        if self._next.kind != "end":
            self._refuse(f"{self._next.text!r} is not expected here")

    def _either(self) -> Node:
        node = self._both()
        while (token := self._next).text == "||" and self._taken("||"):
            node = Binary("||", node, self._both(), token.column)
        return node

    def _both(self) -> Node:
        node = self._comparison()
        while (token := self._next).text == "&&" and self._taken("&&"):
            node = Binary("&&", node, self._comparison(), token.column)
        return node

    def _comparison(self) -> Node:
        node = self._sum()
        while (token := self._next).text in _COMPARISONS and token.kind != "text":
            self._at += 1
            node = Binary(token.text, node, self._sum(), token.column)
        return node

    def _sum(self) -> Node:
        node = self._product()
        while (token := self._next).text in {"+", "-"}:
            self._at += 1
            node = Binary(token.text, node, self._product(), token.column)
        return node

    def _product(self) -> Node:
        node = self._unary()
        while (token := self._next).text in {"*", "/", "%"}:
            self._at += 1
            node = Binary(token.text, node, self._unary(), token.column)
        return node

    def _unary(self) -> Node:
        marks = []
        while self._next.text in {"!", "-"}:
            marks.append(self._next)
            self._at += 1
        if len(marks) > DEPTH_MAX:
            raise ConditionFault("condition_too_deep", marks[DEPTH_MAX].column, f"nested deeper than {DEPTH_MAX}")
        node = self._dotted()
        for mark in reversed(marks):
            if mark.text == "-" and isinstance(node, Literal) and type(node.value) is int:
                node = Literal(-node.value, mark.column)
            else:
                node = Unary(mark.text, node, mark.column)
        return node

    def _dotted(self) -> Node:
        node = self._atom()
        while self._taken("."):
            token = self._word()
            if self._taken("("):
                if token.text not in TEXT_METHODS:
                    known = ", ".join(sorted(TEXT_METHODS))
                    raise ConditionFault(
                        "unknown_function", token.column, f"{token.text}() is not known; there are {known}"
                    )
                argument = self.choice()
                self._expect(")")
                node = Method(node, token.text, argument, token.column)
            elif isinstance(node, Name):
                node = Name(f"{node.path}.{token.text}", node.column)
            else:
                self._refuse("a field can only be taken of a name", token)
        return node

    def _atom(self) -> Node:
        token = self._next
        self._at += 1
        if token.kind == "text":
            return Literal(_decoded(token), token.column)
        if token.kind == "number":
            return Literal(_integer(token), token.column)
        if token.kind == "word":
            return self._named(token)
        if token.text == "(":
            node = self.choice()
            self._expect(")")
            return node
        if token.text == "[":
            return self._items(token)
        self._at -= 1
        return self._refuse(
            "the condition ends too early" if token.kind == "end" else f"{token.text!r} is not expected here"
        )

    def _named(self, token: _Token) -> Node:
        if token.text in {"true", "false"}:
            return Literal(token.text == "true", token.column)
        if token.text == "has" and self._taken("("):
            asked_for = self._dotted()
            self._expect(")")
            if not isinstance(asked_for, Name):
                raise ConditionFault("condition_syntax", token.column, "has() takes a name")
            return Has(asked_for, token.column)
        if token.text in RESERVED:
            raise ConditionFault("condition_syntax", token.column, f"{token.text!r} is a reserved word")
        if self._next.text == "(":
            raise ConditionFault("unknown_function", token.column, f"{token.text}() is not known; there is has()")
        return Name(token.text, token.column)

    def _items(self, opening: _Token) -> Items:
        items: list[Node] = []
        while not self._taken("]"):
            items.append(self.choice())
            if not self._taken(","):
                self._expect("]")
                break
        return Items(tuple(items), opening.column)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _taken(self, mark: str) -> bool:
        token = self._next
        if token.kind == "mark" and token.text == mark:
            self._at += 1
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._taken(mark):
            self._refuse(f"{mark!r} is expected here")

    def _word(self) -> _Token:
        token = self._next
        if token.kind != "word" or token.text in RESERVED:
            self._refuse("a name is expected here")
        self._at += 1
        return token

    def _refuse(self, detail: str, token: _Token | None = None) -> NoReturn:
        raise ConditionFault("condition_syntax", (token or self._next).column, detail)


_INTEGER_MAX: Final = 2**63 - 1


def _integer(token: _Token) -> int:
    text = token.text
    if text[-1] in "uU" or "." in text or ("e" in text.lower() and not text.lower().startswith("0x")):
        raise ConditionFault("condition_type", token.column, f"{text} is not a whole number; numbers here are integers")
    value = int(text, 0) if text.lower().startswith("0x") else int(text)
    if value > _INTEGER_MAX:
        raise ConditionFault("condition_type", token.column, f"{text} does not fit in 64 bits")
    return value


_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL)
_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip


def _decoded(token: _Token) -> str:
    text = token.text
    raw = text[0] in "rR"
    if raw:
        text = text[1:]
    width = 3 if text.startswith(('"""', "'''")) and len(text) >= 6 else 1
    body = text[width:-width]
    value = body if raw else _ESCAPE.sub(lambda found: _unescaped(found.group(1), token.column), body)
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ConditionFault("condition_syntax", token.column, "a text may not contain U+0000 or half a surrogate pair")
    return value


def _unescaped(escape: str, column: int) -> str:
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    try:
        if escape[0] in "xXuU" and len(escape) > 1:
            return chr(int(escape[1:], 16))
        if len(escape) == 3:
            return chr(int(escape, 8))
    except (ValueError, OverflowError):
        pass
    raise ConditionFault("condition_syntax", column, f"\\{escape} is not an escape that CEL knows")
