"""A stream of bytes becomes lines, in constant memory, however large the file is."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GZIP = 16 + zlib.MAX_WBITS
_STEP = 64 * 1024


class BrokenError(Exception):
    """The stream is not what its headers say; what came before the break is still good."""


class Gunzip:
    """Unpacks gzip step by step; a small file that unpacks to a huge one never stands in memory."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._begun = self._begun or bool(data)
        if self._member.eof and data:
            self._member = zlib.decompressobj(_GZIP)
        while True:
            try:
                piece = self._member.decompress(data, _STEP)
            except zlib.error as error:
                raise BrokenError(f"the gzip stream is damaged: {error}") from error
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
    """Cuts bytes into lines. A line above the limit is passed on as `None` and its bytes are dropped."""

    line_bytes_max: int
    offset: int = 0
    """Bytes of whole lines seen so far: where a body that broke off is to be resumed."""
    _parts: list[bytes] = field(default_factory=list)
    _held: int = 0
    _skipped: int = 0

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            yield self._whole(data[start:end], newline=1)
            start = end + 1
        self._keep(data[start:])

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
