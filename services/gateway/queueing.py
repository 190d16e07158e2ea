"""What waits to be told at one webhook: each member's events in order, and which may go now. Pure."""

from __future__ import annotations

import heapq
from bisect import insort
from collections import defaultdict
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

Key = tuple[str, str]


@dataclass(slots=True, eq=False)
class Item:
    """One event for one webhook. `due` is an instant of the caller's clock, first_at when it was tried first.

    `written`: a row of the log says that it waits.
    """

    position: int
    program: str
    member: str
    type: str
    event: bytes
    attempts: int = 0
    due: float = 0.0
    first_at: datetime | None = None
    written: bool = False
    flying: bool = False

    @property
    def key(self) -> Key:
        return (self.program, self.member)


_position = attrgetter("position")


class Queues:
    """One queue for each member; only its first may be on its way or wait for another attempt."""

    def __init__(self) -> None:
        self._queues: dict[Key, list[Item]] = defaultdict(list)
        self._items: dict[int, Item] = {}
        self._heads: list[tuple[float, int, Key]] = []

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, position: int) -> bool:
        return position in self._items

    def get(self, position: int) -> Item | None:
        return self._items.get(position)

    def add(self, item: Item) -> None:
        """Put an event where it belongs among those of its member, but not before one that is on its way."""
        queue = self._queues[item.key]
        self._items[item.position] = item
        if not queue or queue[-1].position < item.position:
            queue.append(item)
        else:
            insort(queue, item, lo=int(queue[0].flying), key=_position)
        if queue[0] is item:
            self._offer(item)

    def take(self, now: float) -> Item | None:
        """Return what may go now, if anything may; it is on its way until it is `done` or tried `again`."""
        while self._heads and self._heads[0][0] <= now:
            due, position, key = heapq.heappop(self._heads)
            item = self._items.get(position)
            queue = self._queues.get(key)
            # What was offered may have been put off, or overtaken by one that is sent again.
            if item is None or item.flying or item.due != due or not queue or queue[0] is not item:
                continue
            item.flying = True
            return item
        return None

    def done(self, item: Item) -> None:
        """Let the next of its member go."""
        queue = self._queues[item.key]
        queue.remove(item)
        del self._items[item.position]
        if queue:
            self._offer(queue[0])
        else:
            del self._queues[item.key]

    def again(self, item: Item, due: float) -> None:
        """Have it tried at another instant; its member's next go on waiting."""
        item.flying = False
        item.due = due
        self._offer(self._queues[item.key][0])

    def due_at(self) -> float | None:
        """Return when something may go; a little early at times, never late."""
        return self._heads[0][0] if self._heads else None

    def behind_failed(self) -> Iterator[Item]:
        """Tell what waits behind something that failed and of which nothing is written yet."""
        for queue in self._queues.values():
            if queue[0].attempts:
                yield from (item for item in queue[1:] if not item.written)

    def unwritten(self) -> Iterator[int]:
        """Tell the positions of which nothing is written yet."""
        return (item.position for item in self._items.values() if not item.written)

    def _offer(self, item: Item) -> None:
        heapq.heappush(self._heads, (item.due, item.position, item.key))
