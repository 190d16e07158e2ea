"""Text into plain values, and nothing that a program may not contain.

YAML here is what an author expects of it: only `true` and `false` are booleans (so `on:` is a key like any other),
dates stay text, keys are text and stand once, there are no anchors, tags or numbers with a decimal point. A fault
names the place by pointer and, for YAML, by line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from laurel.contracts.reading import pointer_to
from laurel.errors import Fault
from laurel.program.faults import ProgramFaults

DEPTH_MAX: Final = 32
TEXT_MAX: Final = 1_048_576
_INTEGER_DIGITS_MAX: Final = 18

Path = tuple[str | int, ...]
Event = Any
"""An event of PyYAML, whose classes carry no types."""

_FLOAT_ADVICE = 'Numbers with a decimal point are not exact here; put it in quotes, such as "0.05" or "1/20"'


def read_yaml(text: str) -> object:
    """Return the one document of a YAML text."""
    _check_size(text)
    reader = _YamlReader()
    try:
        value = reader.read(text)
    except yaml.YAMLError as error:
        raise ProgramFaults([Fault("", "malformed", _yaml_detail(error))]) from None
    if reader.faults:
        raise ProgramFaults(reader.faults)
    return value


def read_json(text: str) -> object:
    """Return the value of a JSON text."""
    _check_size(text)
    try:
        value = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_Constant, parse_int=_json_integer)
    except (ValueError, RecursionError) as error:
        raise ProgramFaults([Fault("", "malformed", f"The text is not JSON: {error}")]) from None
    return read_plain(value)


def read_plain(value: object) -> object:
    """Return plain values as they are, if they hold nothing that a program may not contain."""
    faults: list[Fault] = []
    plain = _plain(value, (), faults)
    if faults:
        raise ProgramFaults(faults)
    return plain


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, so that a repeated key can still be seen."""


class _Constant(str):
    """NaN and the infinities, which Python's JSON would take."""

    __slots__ = ()


def _json_integer(digits: str) -> int | str:
    # Reading thousands of digits is slow, and no number of a program has so many.
    return int(digits) if len(digits) <= _INTEGER_DIGITS_MAX else _TooLarge(digits)


class _TooLarge(str):
    """An integer with more digits than any number of a program."""

    __slots__ = ()


def _plain(value: object, path: Path, faults: list[Fault]) -> object:  # noqa: PLR0911  # one for each kind of value
    if len(path) > DEPTH_MAX:
        faults.append(Fault(pointer_to(path), "too_deep", f"Nested deeper than {DEPTH_MAX}"))
        return None
    match value:
        case _Constant() | float():
            faults.append(Fault(pointer_to(path), "float", _FLOAT_ADVICE))
            return None
        case _TooLarge():
            faults.append(Fault(pointer_to(path), "out_of_range", "This number is too large"))
            return None
        case None | bool():
            return value
        case int():
            if abs(value) >= 10**_INTEGER_DIGITS_MAX:
                faults.append(Fault(pointer_to(path), "out_of_range", "This number is too large"))
                return None
            return value
        case str():
            return _text(value, path, faults)
        case _Pairs():
            return _mapping(value, path, faults)
        case Mapping():
            return _mapping(list(value.items()), path, faults)
        case list() | tuple():
            return [_plain(item, (*path, index), faults) for index, item in enumerate(value)]
    faults.append(Fault(pointer_to(path), "wrong_type", f"A program cannot contain {type(value).__name__}"))
    return None


def _mapping(pairs: list[tuple[Any, Any]], path: Path, faults: list[Fault]) -> dict[str, object]:
    mapping: dict[str, object] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            faults.append(Fault(pointer_to(path), "wrong_type", f"The key {key!r} is not a text; put it in quotes"))
            continue
        here = (*path, _text(key, path, faults))
        if key in mapping:
            faults.append(Fault(pointer_to(here), "repeated", "This key is there twice"))
        mapping[key] = _plain(value, here, faults)
    return mapping


def _text(value: str, path: Path, faults: list[Fault]) -> str:
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        faults.append(Fault(pointer_to(path), "bad_format", "A text may not contain U+0000 or half a surrogate pair"))
        return ""
    return value


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(
    r"""[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?
      | [-+]?[0-9]+[eE][-+]?[0-9]+
      | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN)""",
    re.ASCII | re.VERBOSE,
)
_OTHER_INTEGER = re.compile(r"[-+]?0[0-9]+|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|[-+]?[0-9]+(?:_[0-9]+)+", re.ASCII)
_WORDS: Final[Mapping[str, bool | None]] = {
    "true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False,
    "null": None, "Null": None, "NULL": None, "~": None, "": None,
}  # fmt: skip


class _YamlReader:
    """Builds plain values from YAML events."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._events: Any = None

    def read(self, text: str) -> object:
        self._events = yaml.parse(text, Loader=_LOADER)
        self._skip(yaml.StreamStartEvent)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), ())
        self._skip(yaml.DocumentEndEvent)
        if not isinstance(next(self._events), yaml.StreamEndEvent):
            self._fault((), "malformed", "A text holds one program, not several documents")
        return value

    def _skip(self, kind: type) -> None:
        event = next(self._events)
        assert isinstance(event, kind)

    def _value(self, event: Event, path: Path) -> object:
        if len(path) > DEPTH_MAX:
            raise ProgramFaults([Fault(pointer_to(path), "too_deep", f"Nested deeper than {DEPTH_MAX}")])
        if isinstance(event, yaml.AliasEvent):
            self._fault(path, "not_allowed", "Anchors and aliases are not allowed", event)
            return None
        if event.anchor is not None:
            self._fault(path, "not_allowed", "Anchors and aliases are not allowed", event)
        if event.tag is not None and event.tag != "!":
            self._fault(path, "not_allowed", f"The tag {event.tag} is not allowed", event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _sequence(self, path: Path) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, object]:
        mapping: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._value(event, path)
            if not isinstance(key, str):
                self._fault(path, "wrong_type", f"The key {key!r} is not a text; put it in quotes", event)
                key = str(key)
            elif key in mapping:
                self._fault((*path, key), "repeated", "This key is there twice", event)
            mapping[key] = self._value(next(self._events), (*path, key))
        return mapping

    def _scalar(self, event: Event, path: Path) -> object:  # noqa: PLR0911  # one for each kind of scalar
        value: str = event.value
        if not event.implicit[0]:
            faults: list[Fault] = []
            text = _text(value, path, faults)
            self.faults += faults
            return text
        if value in _WORDS:
            return _WORDS[value]
        if _INTEGER.fullmatch(value):
            if len(value) > _INTEGER_DIGITS_MAX:
                self._fault(path, "out_of_range", "This number is too large", event)
                return 0
            return int(value)
        if _FLOAT.fullmatch(value):
            self._fault(path, "float", _FLOAT_ADVICE, event)
            return None
        if _OTHER_INTEGER.fullmatch(value):
            self._fault(
                path, "wrong_type", "Whole numbers are written in plain decimal digits; put a text in quotes", event
            )
            return None
        return value

    def _fault(self, path: Path, code: str, detail: str, event: Event = None) -> None:
        where = "" if event is None else f" (line {event.start_mark.line + 1})"
        self.faults.append(Fault(pointer_to(path), code, detail + where))


def _yaml_detail(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or "it cannot be read"
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
    return f"The text is not YAML: {said}{where}"


def _check_size(text: str) -> None:
    if len(text) > TEXT_MAX:
        raise ProgramFaults([Fault("", "too_large", f"A program has at most {TEXT_MAX} characters")])
