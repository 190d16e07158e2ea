"""How many calls a partner may have at once and in a second: each place its allotment, so that none delays another."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Allotment:
    """What a single place may have of one process."""

    at_once: int
    per_second: float


@dataclass(slots=True)
class _Place:
    running: int = 0
    tokens: float = 0.0
    seen: float = 0.0


@dataclass(slots=True)
class Places:
    """What each place has taken of its allotment. Time is an argument, in seconds that only grow."""

    allotment: Allotment
    _places: dict[str, _Place] = field(default_factory=dict)

    def allowed(self, now: float) -> dict[str, int]:
        """Return how many more calls each place may have now; one that is not named has all of its allotment."""
        out: dict[str, int] = {}
        for name, place in list(self._places.items()):
            self._refill(place, now)
            if not place.running and place.tokens >= self._most:
                del self._places[name]
            else:
                out[name] = max(0, min(self.allotment.at_once - place.running, int(place.tokens)))
        return out

    def begin(self, name: str, now: float) -> None:
        """A call is made at a place."""
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = _Place(tokens=self._most, seen=now)
        self._refill(place, now)
        place.running += 1
        place.tokens -= 1

    def end(self, name: str) -> None:
        """A call has come to its end, whatever its answer."""
        self._places[name].running -= 1

    @property
    def _most(self) -> float:
        """A second's worth may come at once, but never less than one, nor less than may run at once."""
        return max(1.0, self.allotment.per_second, float(self.allotment.at_once))

    def _refill(self, place: _Place, now: float) -> None:
        place.tokens = min(self._most, place.tokens + (now - place.seen) * self.allotment.per_second)
        place.seen = now
