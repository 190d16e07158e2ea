"""Lines with codes become parts that are passed on, and what is wrong with some of them is remembered by line."""

from __future__ import annotations

import csv as csv_reader
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from typing import Any, Final

import msgspec

from laurel.contracts.codes import CodeLine
from laurel.errors import Fault, Problem
from laurel.shapes import decoder_of
from services.gateway.splitting import BOM

PassOn = Callable[[Sequence[dict[str, Any]]], Awaitable[dict[str, Any]]]
"""Has a part of the codes taken; tells how many were `added`, and the `faults` of the others."""

_PART: Final = 2_000
_FAULTS_MAX: Final = 1_000
_COLUMNS: Final = ("code", "expires_at")
_decode = decoder_of(CodeLine).decode


class Filling:
    """One file of codes: NDJSON, or CSV whose first line names the columns `code` and `expires_at`."""

    def __init__(self, pass_on: PassOn, *, csv: bool) -> None:
        self._pass_on = pass_on
        self._csv = csv
        self._columns: list[str] = []
        self._number = 0
        self._part: list[dict[str, Any]] = []
        self._received = self._duplicate = self._rejected = 0
        self._faults: list[dict[str, Any]] = []
        self.added = 0

    async def take(self, line: bytes | None) -> None:
        """Take one line; None stands for one that is too long."""
        self._number += 1
        if line is not None and self._number == 1:
            line = line.removeprefix(BOM)
        if line is not None and not line.strip():
            return
        if self._csv and not self._columns:
            self._columns = _header(line)
            return
        self._received += 1
        try:
            code = self._read(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, csv_reader.Error, ValueError, OverflowError):
            # What was wrong is not quoted: it may be the code.
            self._fault(self._number, "invalid", "This is no code, or not one with a moment at which it ends")
            return
        self._part.append({"line": self._number, "code": code.code, "expires_at": code.expires_at})
        if len(self._part) >= _PART:
            await self._store()

    async def finish(self) -> None:
        """Pass on what is left."""
        if self._part:
            await self._store()

    def told(self) -> dict[str, Any]:
        """Say what became of the lines; of very many that were not taken the first are named."""
        return {
            "received": self._received,
            "added": self.added,
            "duplicate": self._duplicate,
            "rejected": self._rejected,
            "errors": sorted(self._faults, key=lambda fault: fault["line"]),
        }

    def _read(self, line: bytes | None) -> Any:  # noqa: ANN401 (a Struct made of the class)
        if line is None:
            raise ValueError("too long")
        if not self._csv:
            return _ending(_decode(line))
        (cells,) = csv_reader.reader([line.decode("utf-8").rstrip("\r")], strict=True)
        if len(cells) != len(self._columns):
            raise ValueError("another number of cells")
        return _ending(
            _decode(msgspec.json.encode({name: cell for name, cell in zip(self._columns, cells, strict=True) if cell}))
        )

    async def _store(self) -> None:
        part, self._part = self._part, []
        told = await self._pass_on(part)
        self.added += told["added"]
        for fault in told["faults"]:
            self._fault(fault["line"], fault["code"], fault["detail"])

    def _fault(self, line: int, code: str, detail: str) -> None:
        if code == "duplicate":
            self._duplicate += 1
        else:
            self._rejected += 1
        if len(self._faults) < _FAULTS_MAX:
            self._faults.append({"line": line, "code": code, "detail": detail})


def _ending(code: Any) -> Any:  # noqa: ANN401 (a Struct made of the class)
    if code.expires_at is not None:
        # The last hours of the year 9999 west of Greenwich are no moment that a clock could show.
        code.expires_at.astimezone(UTC)
    return code


def _header(line: bytes | None) -> list[str]:
    """Return the columns that the first line of a CSV names."""
    try:
        (cells,) = csv_reader.reader([(line or b"").decode("utf-8-sig").rstrip("\r")], strict=True)
    except (UnicodeDecodeError, csv_reader.Error, ValueError):
        cells = []
    names = [cell.strip() for cell in cells]
    if "code" not in names or set(names) - set(_COLUMNS) or len(set(names)) != len(names):
        fault = Fault(
            "/line/1", "bad_format", "The first line names the columns: code and, if they have one, expires_at"
        )
        raise Problem("invalid", errors=[fault])
    return names
