"""What the broker holds: topics with their partitions, groups, and who it is."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from itertools import count

from laurel.embedded.kafka.errors import Code, RefusedError
from laurel.embedded.kafka.group import Groups
from laurel.embedded.kafka.partition import Partition

NODE = 1
"""The only node of the cluster: it leads every partition and coordinates every group."""
_TOPIC_MAX = 249
PARTITIONS_MAX = 1_000


class Broker:
    """All of it lives in this process and goes with it."""

    def __init__(self, cluster_id: str, host: str, port: int) -> None:
        self.cluster_id = cluster_id
        self.host = host
        self.port = port
        """Where clients are told to come."""
        self.groups = Groups()
        self.topics: dict[str, list[Partition]] = {}
        # A producer that outlives the broker goes on under its number for a moment; with the next broker nobody else
        # may have that, or what one sends would be taken for a repetition of what the other sent.
        self._producers = count(secrets.randbelow(1 << 62))

    def partition(self, topic: str, number: int) -> Partition:
        """Return a partition.

        Raises:
            RefusedError: there is none of that name and number.
        """
        partitions = self.topics.get(topic, ())
        if not 0 <= number < len(partitions):
            raise RefusedError(Code.UNKNOWN_TOPIC_OR_PARTITION)
        return partitions[number]

    def create(self, topic: str, partitions: int, *, only_look: bool = False) -> None:
        """Make a topic with so many partitions.

        Raises:
            RefusedError: there is one already, or it cannot be made so.
        """
        if topic in self.topics:
            raise RefusedError(Code.TOPIC_ALREADY_EXISTS)
        if not 0 < len(topic) <= _TOPIC_MAX or topic in (".", "..") or not _is_name(topic):
            raise RefusedError(Code.INVALID_TOPIC)
        if not 1 <= partitions <= PARTITIONS_MAX:
            raise RefusedError(Code.INVALID_PARTITIONS)
        if not only_look:
            self.topics[topic] = [Partition() for _ in range(partitions)]

    def delete(self, topic: str) -> None:
        """Forget a topic and all that is in it.

        Raises:
            RefusedError: there is none.
        """
        if self.topics.pop(topic, None) is None:
            raise RefusedError(Code.UNKNOWN_TOPIC_OR_PARTITION)

    def new_producer(self) -> int:
        """Return a number for an idempotent producer, which nobody else has."""
        return next(self._producers)

    def known(self, topics: Sequence[str] | None) -> list[tuple[str, Sequence[Partition] | None]]:
        """Return topics with their partitions, None for those that are not there; all when none are named."""
        if topics is None:
            return list(self.topics.items())
        return [(topic, self.topics.get(topic)) for topic in topics]


def _is_name(topic: str) -> bool:
    return all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in topic)
