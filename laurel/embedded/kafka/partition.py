"""One partition: its record batches in memory, as they came, found by offset.

A batch is kept as the bytes that its producer sent, compressed or not; only its first offset is written into it. Layout
of a batch of format 2: https://kafka.apache.org/documentation/#recordbatch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct

from laurel.embedded.kafka.errors import Code, RefusedError

_HEAD = Struct(">qiibIhiqqqhii")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first and last timestamp, producer,
its epoch, base sequence, number of records."""
_BASE = Struct(">qi")
_LENGTH_BEGINS = 12
_MAGIC = 2
_SEQUENCES = 1 << 31
_BATCHES_REMEMBERED = 5
"""As many as a producer may have under way (`max.in.flight.requests.per.connection`)."""
EARLIEST, LATEST = -2, -1


@dataclass(slots=True)
class _Sent:
    """What an idempotent producer has sent to a partition: its epoch, and its last batches as (first, last, offset)."""

    epoch: int
    batches: list[tuple[int, int, int]] = field(default_factory=list)


class Partition:
    """A log that begins at offset 0 and forgets nothing while the process lives."""

    __slots__ = ("_batches", "_lasts", "_newest", "_producers", "end", "listeners")

    def __init__(self) -> None:
        self.end = 0
        """The offset that the next record gets."""
        self.listeners: set[Callable[[], None]] = set()
        """Called, once for each, when something was appended."""
        self._batches: list[bytes] = []
        self._lasts: list[int] = []
        self._newest: list[int] = []
        self._producers: dict[int, _Sent] = {}

    def append(self, records: bytes) -> int:
        """Append what one producer sent, one batch or several, and return the offset of its first record.

        A batch that an idempotent producer has sent before is not appended again; its offset is that of the first time.

        Raises:
            RefusedError: not whole batches of format 2, or not the next of their producer. Nothing was appended.
        """
        parts = [_Part.of(part) for part in _split(records)]
        if len(parts) != 1 and any(part.producer >= 0 for part in parts):
            raise RefusedError(Code.CORRUPT_MESSAGE)
        if parts[0].producer >= 0:
            known = self._sent_before(parts[0])
            if known is not None:
                return known
        first = self.end
        for part in parts:
            self._keep(part)
        for listener in list(self.listeners):
            listener()
        return first

    def _keep(self, part: _Part) -> None:
        base = self.end
        if part.producer >= 0:
            sent = self._producers[part.producer]
            last = (part.sequence + part.count - 1) % _SEQUENCES
            sent.batches = [*sent.batches[1 - _BATCHES_REMEMBERED :], (part.sequence, last, base)]
        self._batches.append(_BASE.pack(base, len(part.data) - _LENGTH_BEGINS) + part.data[_BASE.size :])
        self.end = base + part.count
        self._lasts.append(self.end - 1)
        self._newest.append(max(part.newest, self._newest[-1] if self._newest else part.newest))

    def _sent_before(self, part: _Part) -> int | None:
        sent = self._producers.get(part.producer)
        if sent is None or part.epoch > sent.epoch:
            if part.sequence != 0 and sent is not None:
                raise RefusedError(Code.OUT_OF_ORDER_SEQUENCE_NUMBER)
            self._producers[part.producer] = _Sent(part.epoch)
            return None
        if part.epoch < sent.epoch:
            raise RefusedError(Code.INVALID_PRODUCER_EPOCH)
        last = (part.sequence + part.count - 1) % _SEQUENCES
        for first, end, offset in sent.batches:
            if (first, end) == (part.sequence, last):
                return offset
        if sent.batches and part.sequence != (sent.batches[-1][1] + 1) % _SEQUENCES:
            raise RefusedError(Code.OUT_OF_ORDER_SEQUENCE_NUMBER)
        return None

    def read(self, offset: int, bytes_max: int, *, one_at_least: bool) -> list[bytes]:
        """Return the batches from the one that holds `offset` on, as many as fit; the first in any case if asked for.

        Raises:
            RefusedError: the offset lies outside of the log.
        """
        if not 0 <= offset <= self.end:
            raise RefusedError(Code.OFFSET_OUT_OF_RANGE)
        found: list[bytes] = []
        for index in range(bisect_left(self._lasts, offset), len(self._batches)):
            batch = self._batches[index]
            bytes_max -= len(batch)
            if bytes_max < 0 and (found or not one_at_least):
                break
            found.append(batch)
        return found

    def offset_at(self, timestamp: int) -> tuple[int, int]:
        """Return (timestamp, offset) of where reading from a moment on begins, by whole batches; (-1, -1): nowhere.

        `EARLIEST` and `LATEST` are answered with the begin and the end of the log.
        """
        if timestamp == LATEST:
            return -1, self.end
        if timestamp == EARLIEST:
            return -1, 0
        index = bisect_left(self._newest, timestamp)
        if index == len(self._batches):
            return -1, -1
        return self._newest[index], self._lasts[index - 1] + 1 if index else 0


@dataclass(frozen=True, slots=True)
class _Part:
    """One batch and what its head says."""

    data: bytes
    count: int
    newest: int
    producer: int
    epoch: int
    sequence: int

    @classmethod
    def of(cls, data: bytes) -> _Part:
        _, _, _, magic, _, _, last_delta, _, newest, producer, epoch, sequence, count = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise RefusedError(Code.UNSUPPORTED_FOR_MESSAGE_FORMAT)
        if count < 1 or last_delta != count - 1:
            raise RefusedError(Code.CORRUPT_MESSAGE)
        return cls(data, count, newest, producer, epoch, sequence)


def _split(records: bytes) -> list[bytes]:
    parts: list[bytes] = []
    at = 0
    while at < len(records):
        if len(records) - at < _HEAD.size:
            raise RefusedError(Code.CORRUPT_MESSAGE)
        end = at + _LENGTH_BEGINS + _BASE.unpack_from(records, at)[1]
        if end - at < _HEAD.size or end > len(records):
            raise RefusedError(Code.CORRUPT_MESSAGE)
        parts.append(records[at:end])
        at = end
    if not parts:
        raise RefusedError(Code.CORRUPT_MESSAGE)
    return parts
