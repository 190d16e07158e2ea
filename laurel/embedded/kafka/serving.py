"""Connections: requests come in frames and are answered one after the other, in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from struct import Struct
from typing import cast

from laurel.embedded.kafka.broker import Broker
from laurel.embedded.kafka.requests import answer
from laurel.embedded.kafka.wire import MalformedError, Writer

_SIZE = Struct(">i")
_HEAD = Struct(">ii")
FRAME_BYTES_MAX = 104_857_600
"""As `socket.request.max.bytes` of Apache Kafka."""


class Connection(asyncio.Protocol):
    """One client. While one of its requests waits for its answer, later ones wait for theirs."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._frames: deque[bytes] = deque()
        self._waiting: asyncio.Future[Writer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._frames.clear()
        if self._waiting is not None:
            self._waiting.cancel()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        at = 0
        while len(received) - at >= _SIZE.size:
            (size,) = _SIZE.unpack_from(received, at)
            if not 0 < size <= FRAME_BYTES_MAX:
                self._hang_up()
                return
            if len(received) - at - _SIZE.size < size:
                break
            at += _SIZE.size
            self._frames.append(bytes(received[at : at + size]))
            at += size
        del received[:at]
        self._go_on()

    def _go_on(self) -> None:
        while self._frames and self._waiting is None:
            try:
                correlation, found = answer(self._broker, self._frames.popleft())
            except MalformedError:
                self._hang_up()
                return
            if isinstance(found, Writer):
                self._write(correlation, found)
            elif found is not None:
                self._waiting = found
                found.add_done_callback(partial(self._waited, correlation))

    def _waited(self, correlation: int, done: asyncio.Future[Writer]) -> None:
        self._waiting = None
        if self._transport is None:
            return
        if done.cancelled() or done.exception() is not None:
            self._hang_up()
            return
        self._write(correlation, done.result())
        self._go_on()

    def _write(self, correlation: int, written: Writer) -> None:
        if self._transport is not None:
            self._transport.writelines((_HEAD.pack(len(written.data) + 4, correlation), written.data))

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def serve(broker: Broker, host: str, port: int) -> asyncio.Server:
    """Listen; what a connection is told comes from `broker`."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(broker), host, port, backlog=512)
