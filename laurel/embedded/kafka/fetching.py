"""Fetching: what there is at once, or, where there is too little yet, as soon as there is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from laurel.embedded.kafka.broker import Broker
from laurel.embedded.kafka.errors import Code, RefusedError
from laurel.embedded.kafka.partition import Partition
from laurel.embedded.kafka.wire import Reader, Writer


@dataclass(frozen=True, slots=True)
class _Wanted:
    topic: str
    partition: int
    offset: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """A request of version 4 to 6."""

    version: int
    wait_seconds: float
    bytes_min: int
    bytes_max: int
    wanted: Sequence[tuple[str, Sequence[_Wanted]]]

    @classmethod
    def read(cls, version: int, request: Reader) -> Fetch:
        request.int32()  # replica
        wait_ms, bytes_min, bytes_max = request.int32(), request.int32(), request.int32()
        request.int8()  # isolation: there are no transactions

        def topic() -> tuple[str, Sequence[_Wanted]]:
            name = request.text()

            def partition() -> _Wanted:
                number, offset = request.int32(), request.int64()
                if version >= 5:
                    request.int64()  # where a follower's log begins
                return _Wanted(name, number, offset, request.int32())

            return name, request.array(partition)

        return cls(version, max(wait_ms, 0) / 1000, bytes_min, bytes_max, request.array(topic))

    def partitions(self, broker: Broker) -> list[Partition]:
        """Return those of the request that are there."""
        return [
            there[wanted.partition]
            for _, partitions in self.wanted
            for wanted in partitions
            if 0 <= wanted.partition < len(there := broker.topics.get(wanted.topic, []))
        ]

    def answer(self, broker: Broker) -> tuple[Writer, int, bool]:
        """Return the answer as it is now, how many bytes of records it holds, and whether something is wrong."""
        written = Writer().int32(0).int32(len(self.wanted))
        left, refused = self.bytes_max, False
        total = 0
        for topic, partitions in self.wanted:
            written.text(topic).int32(len(partitions))
            for wanted in partitions:
                code, end, found = Code.NONE, -1, []
                try:
                    partition = broker.partition(topic, wanted.partition)
                    end = partition.end
                    if wanted.offset != end:
                        bytes_max = min(left, wanted.bytes_max)
                        found = partition.read(wanted.offset, bytes_max, one_at_least=total == 0)
                except RefusedError as error:
                    code, refused = error.code, True
                written.int32(wanted.partition).int16(code).int64(end).int64(end)
                if self.version >= 5:
                    written.int64(0 if code is Code.NONE else -1)
                size = sum(map(len, found))
                written.int32(-1).int32(size)  # no transaction was given up
                for batch in found:
                    written.data += batch
                left -= size
                total += size
        return written, total, refused


def fetch(broker: Broker, request: Fetch) -> Writer | asyncio.Future[Writer]:
    """Answer at once if there is enough or nothing to wait for; else when there is, or when the wait is over."""
    answer, size, refused = request.answer(broker)
    if size >= request.bytes_min or refused or not request.wait_seconds:
        return answer
    return _Waiting(broker, request).answered


class _Waiting:
    """A fetch that is to be told as soon as there is enough."""

    __slots__ = ("_broker", "_later", "_loop", "_partitions", "_request", "_soon", "answered")

    def __init__(self, broker: Broker, request: Fetch) -> None:
        self._loop = asyncio.get_running_loop()
        self._broker = broker
        self._request = request
        self._soon = False
        self._partitions = request.partitions(broker)
        self.answered: asyncio.Future[Writer] = self._loop.create_future()
        self.answered.add_done_callback(self._stop_listening)
        self._later = self._loop.call_later(request.wait_seconds, self._look, True)
        for partition in self._partitions:
            partition.listeners.add(self._hear)

    def _hear(self) -> None:
        # What is appended by one request to several partitions is told at once.
        if not self._soon:
            self._soon = True
            self._loop.call_soon(self._look)

    def _look(self, over: bool = False) -> None:  # noqa: FBT001, FBT002
        self._soon = False
        if self.answered.done():
            return
        answer, size, refused = self._request.answer(self._broker)
        if over or refused or size >= self._request.bytes_min:
            self.answered.set_result(answer)

    def _stop_listening(self, _: asyncio.Future[Writer]) -> None:
        self._later.cancel()
        for partition in self._partitions:
            partition.listeners.discard(self._hear)
