"""A stream of bytes becomes lines, in constant memory, however large the file is."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GZIP = 16 + zlib.MAX_WBITS
_STEP = 64 * 1024
_GRACE = 16 * 1024 * 1024


class BrokenError(Exception):
    """The stream is not what its headers say; what came before the break is still good."""


class BombError(BrokenError):
    """A few bytes that unpack to very many: no file of activities packs so well."""


class Gunzip:
    """Unpacks gzip step by step; a small file that unpacks to a huge one never stands in memory.

    Nor may it keep a processor busy: once more than a few megabytes came out, they must not be more than `ratio_max`
    times what went in.
    """

    def __init__(self, ratio_max: int) -> None:
        self._ratio_max = ratio_max
        self._taken = 0
        self._given = 0
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(data)
        self._taken += len(data)
        if self._member.eof and data:
            self._member = zlib.decompressobj(_GZIP)
        while True:
            try:
                piece = self._member.decompress(data, _STEP)
            except zlib.error as error:
                raise BrokenError(f"the gzip stream is damaged: {error}") from error
            self._given += len(piece)
            if self._given > _GRACE + self._ratio_max * self._taken:
                raise BombError(f"it unpacks to more than {self._ratio_max} times its size")
            if piece:
                yield piece
            if self._member.eof:
                data = self._member.unused_data
                if not data:
                    return
                # Gzip files may be put one behind the other.
                self._member = zlib.decompressobj(_GZIP)
                continue
            data = self._member.unconsumed_tail
            # A full piece may mean that more output waits inside, although all input is taken.
            if not data and len(piece) < _STEP:
                return

    def finish(self) -> None:
        """Say whether the stream ended where gzip says it ends."""
        if self._begun and not self._member.eof:
            raise BrokenError("the gzip stream ends in the middle")


class Plain:
    """The same face for a body that is not packed."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if data:
            yield data

    def finish(self) -> None:
        """A plain body has no end mark; the transport says when it broke off."""


@dataclass(slots=True)
class Lines:
    """Cuts bytes into lines. A line above the limit is passed on as `None` and its bytes are dropped.

    With `quoting` a line feed between quotation marks ends no line, as in a CSV. Where a mark has no other, the line
    grows above the limit; after that marks are counted anew.
    """

    line_bytes_max: int
    offset: int = 0
    """Bytes of whole lines seen so far: where a body that broke off is to be resumed."""
    quoting: bool = False
    _parts: list[bytes] = field(default_factory=list)
    _held: int = 0
    _skipped: int = 0
    _is_open: bool = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        start = seen = 0
        while (end := data.find(b"\n", seen)) >= 0:
            is_open = self._opens(data, seen, end)
            seen = end + 1
            if is_open and self._held + self._skipped + end - start <= self.line_bytes_max:
                continue
            self._is_open = False
            yield self._whole(data[start:end], newline=1)
            start = seen
        self._opens(data, seen, len(data))
        self._keep(data[start:])

    def _opens(self, data: bytes, start: int, end: int) -> bool:
        """Whether a quotation is open at `end`, having read on from `start`."""
        if self.quoting:
            self._is_open ^= data.count(b'"', start, end) % 2 == 1
        return self._is_open

    def finish(self) -> Iterator[bytes | None]:
        """The last line of a body that is complete needs no line feed."""
        if self._held or self._skipped:
            yield self._whole(b"", newline=0)

    def _keep(self, rest: bytes) -> None:
        if self._skipped or self._held + len(rest) > self.line_bytes_max:
            self._skipped += self._held + len(rest)
            self._parts.clear()
            self._held = 0
        elif rest:
            self._parts.append(rest)
            self._held += len(rest)

    def _whole(self, last: bytes, newline: int) -> bytes | None:
        self._keep(last)
        self.offset += self._held + self._skipped + newline
        line = None if self._skipped else b"".join(self._parts)
        self._parts.clear()
        self._held = self._skipped = 0
        return line
