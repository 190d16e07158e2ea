"""The Kafka protocol's primitive types, read and written: https://kafka.apache.org/protocol.html#protocol_types.

Only what is not "flexible" (KIP-482): every version that this broker offers is older than that.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error
from typing import TypeVar

T = TypeVar("T")

_INT8 = Struct(">b")
_INT16 = Struct(">h")
_INT32 = Struct(">i")
_INT64 = Struct(">q")


class MalformedError(Exception):
    """A request that is not what its version says."""


class Reader:
    """What is left of a request; raises MalformedError where it ends too early."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _one(self, shape: Struct) -> int:
        try:
            (value,) = shape.unpack_from(self._data, self._at)
        except error as short:
            raise MalformedError(str(short)) from short
        self._at += shape.size
        return int(value)

    def int8(self) -> int:
        return self._one(_INT8)

    def int16(self) -> int:
        return self._one(_INT16)

    def int32(self) -> int:
        return self._one(_INT32)

    def int64(self) -> int:
        return self._one(_INT64)

    def flag(self) -> bool:
        return self._one(_INT8) != 0

    def _bytes(self, length: int) -> bytes:
        end = self._at + length
        if length < 0 or end > len(self._data):
            raise MalformedError(f"{length} bytes wanted")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def text(self) -> str:
        return self.text_or_none() or ""

    def text_or_none(self) -> str | None:
        length = self.int16()
        if length == -1:
            return None
        try:
            return self._bytes(length).decode()
        except UnicodeDecodeError as wrong:
            raise MalformedError(str(wrong)) from wrong

    def blob(self) -> bytes:
        """Bytes; none are empty."""
        length = self.int32()
        return b"" if length == -1 else self._bytes(length)

    def array(self, item: Callable[[], T]) -> list[T]:
        return self.array_or_none(item) or []

    def array_or_none(self, item: Callable[[], T]) -> list[T] | None:
        length = self.int32()
        if length == -1:
            return None
        # Each item takes a byte at least, so a length that is made up ends here, not when memory does.
        if not 0 <= length <= len(self._data) - self._at:
            raise MalformedError(f"{length} items wanted")
        return [item() for _ in range(length)]


class Writer:
    """An answer that grows; its methods return it, so that fields are written as a sentence."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = bytearray()

    def int8(self, value: int) -> Writer:
        self.data += _INT8.pack(value)
        return self

    def int16(self, value: int) -> Writer:
        self.data += _INT16.pack(value)
        return self

    def int32(self, value: int) -> Writer:
        self.data += _INT32.pack(value)
        return self

    def int64(self, value: int) -> Writer:
        self.data += _INT64.pack(value)
        return self

    def text(self, value: str | None) -> Writer:
        if value is None:
            return self.int16(-1)
        encoded = value.encode()
        self.int16(len(encoded))
        self.data += encoded
        return self

    def blob(self, value: bytes | None) -> Writer:
        if value is None:
            return self.int32(-1)
        self.int32(len(value))
        self.data += value
        return self


def answering(version: int, throttled_from: int) -> Writer:
    """Begin an answer; from some version on each says first for how long its client has to pause: never."""
    return Writer().int32(0) if version >= throttled_from else Writer()
