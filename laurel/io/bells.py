"""Bells: on one machine, whoever publishes wakes those readers to whom nothing has come for a while.

For the embedded broker, whose long poll does not wake early: a reader asks it a hundred times a second, and where
nothing happens that is all that a machine does. So a reader that has heard nothing for a moment goes to sleep until it
is rung. While anything happens nobody sleeps and nobody is rung, and everybody reads as ever.

In the directory that they share lies a file for each sleeper and topic, `<topic>/<port>`; a ring is an empty datagram
to that port of this machine. It is a hint and no more: one that is lost costs a moment, since sleepers look now and
then, and one for nothing costs a few fetches.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from aiokafka import AIOKafkaConsumer, TopicPartition

_HERE = "127.0.0.1"
QUIET_SECONDS = 1.0
"""How long nothing must have come before a reader sleeps."""
LOOK_SECONDS = 1.0
"""How often a sleeper looks, rung or not."""
_LOOK_FOR_SECONDS = 0.05


class Bells:
    """Rings sleepers. Without a directory there are none."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._socket: socket.socket | None = None

    def ring(self, topic: str) -> None:
        """Wake who reads a topic and sleeps. Call it when something is published. Never waits, never fails."""
        if self._directory is None:
            return
        with suppress(OSError):
            for file in (self._directory / topic).iterdir():
                # Whatever else lies there, and ports of the dead: the next one is to be rung, too.
                with suppress(OSError, ValueError, OverflowError):
                    self._opened().sendto(b"", (_HERE, int(file.name)))

    def close(self) -> None:
        """Give the socket back; a later ring opens another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _opened(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        return self._socket


class Ear:
    """Fetches for a consumer, and lets it sleep where nothing comes; without a directory of bells it never does."""

    def __init__(self, consumer: AIOKafkaConsumer, topics: Sequence[str], directory: Path | None) -> None:
        self._consumer = consumer
        self._topics = topics
        self._directory = directory
        self._transport: asyncio.DatagramTransport | None = None
        self._files: list[Path] = []
        self._rung = asyncio.Event()
        self._sleeps = False
        # When, if nothing comes before, it goes to sleep; and when it looks again.
        self._quiet_at = time.monotonic() + QUIET_SECONDS
        self._look_at = 0.0

    async def __aenter__(self) -> Self:
        """Open the port that is rung. Raises OSError when there is none, or the directory cannot be written."""
        if self._directory is not None:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: _Hearing(self._rung), local_addr=(_HERE, 0))
            self._transport = transport
            port = transport.get_extra_info("sockname")[1]
            self._files = [self._directory / topic / str(port) for topic in self._topics]
            for file in self._files:
                file.parent.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_down()
        if self._transport is not None:
            self._transport.close()

    async def fetch(self, seconds: float, max_records: int | None = None) -> Mapping[TopicPartition, Sequence[Any]]:
        """Return what has come as soon as something has, and nothing after so many seconds or a little earlier."""
        if self._directory is None:
            return await self._fetch(seconds, max_records)
        if self._sleeps and not await self._must_look(seconds):
            return {}
        fetched = await self._fetch(min(seconds, _LOOK_FOR_SECONDS) if self._sleeps else seconds, max_records)
        if fetched or self._rung.is_set():
            self._wake()
        elif time.monotonic() >= self._quiet_at and self._consumer.assignment():
            self._sleep()
        return fetched

    async def _fetch(self, seconds: float, max_records: int | None) -> Mapping[TopicPartition, Sequence[Any]]:
        fetched = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=max_records)
        return cast("Mapping[TopicPartition, Sequence[Any]]", fetched)

    async def _must_look(self, seconds: float) -> bool:
        """Sleep, no longer than so many seconds. Says whether it was rung, or it is time to look."""
        consumer = self._consumer
        # Partitions that were handed over meanwhile are looked at at once, with whatever lies there.
        if consumer.assignment() == consumer.paused():
            left = self._look_at - time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(left, seconds))):
                    await self._rung.wait()
            if not self._rung.is_set() and time.monotonic() < self._look_at:
                return False
        consumer.resume(*consumer.paused())
        return True

    def _wake(self) -> None:
        """Read on; who is awake is not rung."""
        self._quiet_at = time.monotonic() + QUIET_SECONDS
        self._rung.clear()
        if self._sleeps:
            self._sleeps = False
            self._take_down()

    def _sleep(self) -> None:
        """Ask to be rung, look once more, for what came meanwhile rings nobody, and then rest."""
        if not self._sleeps:
            self._sleeps = True
            self._look_at = 0.0
            for file in self._files:
                file.touch()
            return
        self._look_at = time.monotonic() + LOOK_SECONDS
        self._consumer.pause(*self._consumer.assignment())

    def _take_down(self) -> None:
        for file in self._files:
            file.unlink(missing_ok=True)


class _Hearing(asyncio.DatagramProtocol):
    def __init__(self, rung: asyncio.Event) -> None:
        self._rung = rung

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002 (asyncio's own)
        self._rung.set()
