"""A CSV becomes activities by a mapping: which column means which field, and what is the same in every row.

A mapping is JSON: `{"columns": {"Receipt": "/id", "Total": {"to": "/amount", "digits": 2}}, "constants": {"/type":
"purchase"}, "delimiter": ";"}`. Places are JSON Pointers into an activity; an empty cell says nothing.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from laurel.errors import Fault, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DELIMITERS: Final = (",", ";", "|", "\t")
COLUMNS_MAX: Final = 500
DIGITS_MAX: Final = 4
_NEEDED: Final = ("/id", "/type", "/occurred_at")
# A line has one name, as RFC 6901 says: no zeros before its number, and no digits of other scripts.
_LINE: Final = "lines/(?:0|[1-9][0-9]{0,3})"
_TENDER: Final = "tenders/(?:0|[1-9][0-9]?)"
_WORDS: Final = (
    r"(?:id|type|member|occurred_at|currency|partner|store|channel|of|by|exclusive_key|referrer|campaign"
    r"|member/(?:scheme|value)|payer/(?:id|kind|policy)"
    rf"|{_LINE}/(?:id|sku|category|brand)|{_TENDER}/(?:kind|ref))"
)
_TEXT: Final = re.compile(f"/{_WORDS}")
_INTEGER: Final = re.compile(rf"/(?:amount|{_LINE}/(?:quantity|amount)|{_TENDER}/amount)")
_ATTRIBUTE: Final = re.compile(rf"/(?:{_LINE}/)?attributes/[^/]+")
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]+))?")
_BOM: Final = "\ufeff"


class Place(NamedTuple):
    """Where a cell goes, and as what: an integer of so many digits behind the point, or a text."""

    pointer: str
    is_integer: bool
    digits: int

    @property
    def steps(self) -> list[str]:
        return [step.replace("~1", "/").replace("~0", "~") for step in self.pointer[1:].split("/")]


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a file mean."""

    columns: dict[str, Place]
    constants: dict[str, Any]
    delimiter: str
    source: bytes


class _Reader:
    """Reads a mapping and collects what is wrong with it."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def fault(self, where: str, code: str, detail: str) -> None:
        self.faults.append(Fault(f"/query/mapping{where}", code, detail))

    def read(self, text: str) -> Columns:
        try:
            said = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            said = None
        if not isinstance(said, dict):
            self.fault("", "bad_format", "A mapping is a JSON object")
            raise Problem("invalid", errors=self.faults)
        for name in said.keys() - {"columns", "constants", "delimiter"}:
            self.fault(_under(name), "unknown_field", "There is no such field")
        columns = self._columns(said.get("columns"))
        constants = self._constants(said.get("constants", {}))
        delimiter = said.get("delimiter", ",")
        if delimiter not in DELIMITERS:
            self.fault("/delimiter", "out_of_range", "A delimiter is one of , ; | and the tabulator")
        self._compare([*(place.pointer for place in columns.values()), *constants])
        if self.faults:
            raise Problem("invalid", errors=self.faults)
        return Columns(columns, constants, delimiter, text.encode())

    def _columns(self, said: object) -> dict[str, Place]:
        if not isinstance(said, dict) or not said or len(said) > COLUMNS_MAX:
            self.fault("/columns", "missing", f"An object of 1 to {COLUMNS_MAX} columns and what each means")
            return {}
        found = {}
        for column, meaning in said.items():
            place = self._place(f"/columns{_under(column)}", meaning)
            if place is not None:
                found[column] = place
        return found

    def _place(self, where: str, meaning: object) -> Place | None:
        whole = {"to": meaning} if isinstance(meaning, str) else meaning
        if not isinstance(whole, dict) or not isinstance(whole.get("to"), str):
            self.fault(where, "bad_format", 'A JSON Pointer into an activity, or {"to": pointer}')
            return None
        for name in whole.keys() - {"to", "digits", "as"}:
            self.fault(where + _under(name), "unknown_field", "There is no such field")
        pointer, digits, kind = whole["to"], whole.get("digits"), whole.get("as")
        if not _is_place(pointer):
            self.fault(where, "unknown", "An activity has no such place for a single value")
            return None
        if digits is not None and (type(digits) is not int or not 0 <= digits <= DIGITS_MAX):
            self.fault(f"{where}/digits", "out_of_range", f"0 to {DIGITS_MAX} digits behind the point")
            return None
        # Anything may stand there, such as a list, which no set can be asked for.
        if kind not in (None, "integer", "text"):
            self.fault(f"{where}/as", "out_of_range", "integer or text")
            return None
        by_place = _INTEGER.fullmatch(pointer) is not None
        is_integer = by_place or digits is not None or kind == "integer"
        if is_integer and not by_place and _ATTRIBUTE.fullmatch(pointer) is None:
            self.fault(where, "wrong_type", "A text stands there")
        if by_place and kind == "text":
            self.fault(where, "wrong_type", "An integer stands there")
        return Place(pointer, is_integer, digits or 0)

    def _constants(self, said: object) -> dict[str, Any]:
        if not isinstance(said, dict):
            self.fault("/constants", "bad_format", "An object of places and what stands there in every row")
            return {}
        for pointer, value in said.items():
            where = f"/constants{_under(pointer)}"
            if not _is_place(pointer):
                self.fault(where, "unknown", "An activity has no such place for a single value")
            elif type(value) not in ({int} if _INTEGER.fullmatch(pointer) else {str, int, bool}):
                self.fault(where, "wrong_type", "A text, or an integer where one stands")
        return said

    def _compare(self, pointers: list[str]) -> None:
        """Each place is said once, none within another, and what every activity has is said."""
        for pointer in sorted({each for each in pointers if pointers.count(each) > 1}):
            self.fault("", "repeated", f"{pointer} is said twice")
        for pointer in sorted(set(pointers)):
            if any(other.startswith(pointer + "/") for other in pointers):
                self.fault("", "not_allowed", f"{pointer} is said, and something within it")
        for pointer in _NEEDED:
            if pointer not in pointers:
                self.fault("", "missing", f"Nothing says {pointer}")


def read_mapping(text: str) -> Columns:
    """Return a mapping; 422 with a pointer for each fault of it."""
    return _Reader().read(text)


class Table:
    """The mapping of a file whose header is known: turns a row into the JSON of an activity."""

    def __init__(self, mapping: Columns, header: bytes) -> None:
        """422 for a column that the file does not have, or has twice; 400 for a header that cannot be read."""
        self.delimiter = mapping.delimiter
        names = self._cells(header, _BOM)
        self._width = len(names)
        faults = []
        self._places: list[tuple[int, str, Place]] = []
        for column, place in mapping.columns.items():
            where = f"/query/mapping/columns{_under(column)}"
            if names.count(column) != 1:
                is_missing = column not in names
                code, detail = ("unknown", "no such column") if is_missing else ("repeated", "two such columns")
                faults.append(Fault(where, code, f"The file has {detail}"))
            else:
                self._places.append((names.index(column), column, place))
        if faults:
            raise Problem("invalid", errors=faults)
        self._constants = [(Place(pointer, False, 0).steps, value) for pointer, value in mapping.constants.items()]

    def activity(self, row: bytes) -> bytes:
        """Return the JSON of the activity that a row tells; what is wrong with its cells is told by their places."""
        cells = self._cells(row)
        if len(cells) != self._width:
            detail = f"A row has {self._width} cells, this one {len(cells)}"
            raise Problem("invalid", errors=[Fault("", "bad_format", detail)])
        whole: dict[str, Any] = {}
        faults: list[Fault] = []
        for index, column, place in self._places:
            cell = cells[index]
            if cell == "":
                continue
            value = _integer(cell, place.digits) if place.is_integer else cell
            if value is None:
                faults.append(Fault(place.pointer, "bad_format", f"The column {column} holds no such number"))
            else:
                _put(whole, place.steps, value)
        if faults:
            raise Problem("invalid", errors=faults)
        for steps, value in self._constants:
            _put(whole, steps, value)
        return msgspec.json.encode(_as_lists(whole))

    def id_of(self, row: bytes) -> str | None:
        """Return the id that a row says which is not right, so that its sender can find it; None if it says none."""
        try:
            cells = self._cells(row)
        except Problem:
            return None
        found = [index for index, _, place in self._places if place.pointer == "/id"]
        return cells[found[0]] or None if found and len(cells) == self._width else None

    def _cells(self, row: bytes, mark: str = "") -> list[str]:
        try:
            text = row.decode().removeprefix(mark)
            # Told as one line: what stands behind a carriage return is an error, and no row that nobody looks at.
            rows = list(csv.reader([text], delimiter=self.delimiter, strict=True))
        except UnicodeDecodeError as error:
            raise Problem("malformed", f"The row is not UTF-8: {error}") from None
        except csv.Error as error:
            raise Problem("malformed", f"The row cannot be read: {_said(error)}") from None
        return rows[0] if rows else []


def _said(error: csv.Error) -> str:
    if "new-line character" in str(error):
        return "a carriage return stands in it; rows end with a line feed"
    return str(error)


def _is_place(pointer: str) -> bool:
    return any(pattern.fullmatch(pointer) for pattern in (_TEXT, _INTEGER, _ATTRIBUTE))


def _under(name: object) -> str:
    return "/" + str(name).replace("~", "~0").replace("/", "~1")


def _integer(cell: str, digits: int) -> int | None:
    """Read a number exactly: 47.30 with two digits is 4730. More digits than there may be are no such number."""
    if digits == 0:
        return int(cell) if _WHOLE.fullmatch(cell) else None
    found = _DECIMAL.fullmatch(cell)
    if found is None or len(found[3] or "") > digits:
        return None
    return int(found[1] + found[2] + (found[3] or "").ljust(digits, "0"))


def _put(whole: dict[str, Any], steps: list[str], value: object) -> None:
    for step in steps[:-1]:
        whole = whole.setdefault(step, {})
    whole[steps[-1]] = value


def _as_lists(whole: dict[str, Any]) -> dict[str, Any]:
    """Lines and tenders are lists: those of which a row says something, in their order."""
    for name in ("lines", "tenders"):
        if name in whole:
            whole[name] = [value for _, value in _numbered(whole[name])]
    return whole


def _numbered(items: Mapping[str, Any]) -> Iterator[tuple[int, Any]]:
    yield from sorted((int(number), value) for number, value in items.items())
