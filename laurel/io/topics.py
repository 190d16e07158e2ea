"""Topics: their names, their partitions, and which partition a key belongs to."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from laurel.io.saying import DEAD, MAIN, PROGRAMS

PARTITIONS = 8
_CACHE_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it has to be."""

    name: str
    partitions: int
    compacted: bool = False


def main_topic(service: str, prefix: str = "laurel") -> str:
    """Name the topic on which `service` speaks."""
    return f"{prefix}.{service}.v1"


def dead_topic(service: str, prefix: str = "laurel") -> str:
    """Name the topic that tells what `service` has parked."""
    return f"{prefix}.{service}.dead.v1"


def programs_topic(prefix: str = "laurel") -> str:
    """Name the compacted topic of program and partner states."""
    return f"{prefix}.programs.v1"


def topic_named(name: str, partitions: int = PARTITIONS) -> Topic:
    """Return the topic of that name as it has to be, whoever speaks on it."""
    if name.endswith(".programs.v1"):
        return Topic(name, 1, compacted=True)
    return Topic(name, 1 if name.endswith(".dead.v1") else partitions)


class Topics:
    """The topics that one service publishes to, by stream."""

    def __init__(self, service: str, *, prefix: str = "laurel", partitions: int = PARTITIONS) -> None:
        self.service = service
        self.prefix = prefix
        self._by_stream = {
            MAIN: Topic(main_topic(service, prefix), partitions),
            DEAD: Topic(dead_topic(service, prefix), 1),
            PROGRAMS: Topic(programs_topic(prefix), 1, compacted=True),
        }

    def of(self, stream: str) -> Topic:
        """Return the topic of a stream; an unknown stream is a mistake of the code."""
        return self._by_stream[stream]

    def streams(self) -> dict[str, Topic]:
        return dict(self._by_stream)

    def all(self) -> list[Topic]:
        return list(self._by_stream.values())


def murmur2(data: bytes) -> int:
    """Hash as Kafka's own clients do, so that every producer agrees on the partition of a key."""
    m = 0x5BD1E995
    mask = 0xFFFFFFFF
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for k in struct.unpack_from(f"<{whole >> 2}I", data):
        k = (k * m) & mask  # noqa: PLW2901 - the algorithm reads better so
        h = (((k ^ (k >> 24)) * m) & mask) ^ ((h * m) & mask)
    rest = data[whole:]
    if rest:
        h = ((h ^ int.from_bytes(rest, "little")) * m) & mask
    h = ((h ^ (h >> 13)) * m) & mask
    return h ^ (h >> 15)


_hashes: dict[str, int] = {}


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a key, as Kafka's default partitioner chooses it."""
    if partitions == 1:
        return 0
    known = _hashes.get(key)
    if known is None:
        known = murmur2(key.encode()) & 0x7FFFFFFF
        if len(_hashes) >= _CACHE_MAX:
            _hashes.clear()
        _hashes[key] = known
    return known % partitions
