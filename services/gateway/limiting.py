"""How often a key may call: per second, with room for a burst; for some routes less. Counted by each instance.

A bucket is one number, the instant at which it would be full again (the generic cell rate algorithm), so a call costs
a look-up and an addition, and nothing runs when nobody calls.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from laurel.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.gateway.guarding import Caller

BURST_SECONDS: Final = 5
"""So many seconds' worth of calls may come at once."""
BUCKETS_MAX: Final = 50_000
FAILURES_PER_SECOND: Final = 20
"""How often an address may show a key that is none."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What is left of a bucket after a call; `wait_seconds` is above zero where there was no room."""

    quota: int
    left: int
    full_in_seconds: int
    wait_seconds: float = 0.0


class Buckets:
    """Buckets by name, of different rates. The one that was used longest ago is forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, size_max: int = BUCKETS_MAX) -> None:
        self._clock = clock
        self._size_max = size_max
        self._full_at: OrderedDict[tuple[str, str], float] = OrderedDict()

    def take(self, name: tuple[str, str], rate: int, *, cost: int = 1) -> Spent:
        """Take one call out of a bucket; with `cost=0` only look whether there would be room for one."""
        now = self._clock()
        quota = rate * BURST_SECONDS
        full_at = max(self._full_at.get(name, now), now)
        after = full_at + 1 / rate
        wait = after - now - BURST_SECONDS
        # Sums of such fractions are off by less than this.
        if wait > 1e-6:
            return Spent(quota, 0, math.ceil(full_at - now), wait)
        if cost:
            self._full_at[name] = full_at = after
            self._full_at.move_to_end(name)
            if len(self._full_at) > self._size_max:
                self._full_at.popitem(last=False)
        left = int((BURST_SECONDS - (full_at - now)) * rate + 1e-6)
        return Spent(quota, left, math.ceil(full_at - now))


class Limiter:
    """Says whether a call may come, and tells its caller how many more may."""

    def __init__(self, rate: int, routes: Mapping[str, int], clock: Callable[[], float] = time.monotonic) -> None:
        """`rate`: calls a second of a key that has no rate of its own; `routes`: of any key, by method and path."""
        self._rate = rate
        self._routes = routes
        self._buckets = Buckets(clock)

    def take(self, caller: Caller, route: str) -> list[tuple[bytes, bytes]]:
        """Count a call; returns the headers that its answer has, or 429."""
        spent = {"key": self._buckets.take((caller.key, ""), caller.rate_limit or self._rate)}
        of_route = self._routes.get(route)
        if of_route is not None and not spent["key"].wait_seconds:
            spent["route"] = self._buckets.take((caller.key, route), of_route)
        headers = _headers(spent)
        wait = max(each.wait_seconds for each in spent.values())
        if wait:
            raise Limited(wait, headers)
        return headers

    def failed(self, address: str) -> None:
        """Count a key that was none; 429 for an address that shows too many.

        A good key from the same address is always taken: behind a balancer all callers may share it.
        """
        spent = self._buckets.take(("", address), FAILURES_PER_SECOND)
        if spent.wait_seconds:
            raise Limited(spent.wait_seconds, _headers({"address": spent}))


class Limited(Problem):
    """429, with when to come again."""

    def __init__(self, wait_seconds: float, headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__("rate_limited", retry_after_seconds=max(1, math.ceil(wait_seconds)))
        self.limit_headers = headers


def _headers(spent: Mapping[str, Spent]) -> list[tuple[bytes, bytes]]:
    """As draft-ietf-httpapi-ratelimit-headers has them: the policies, and what is left of each."""
    policy = ", ".join(f'"{name}";q={each.quota};w={BURST_SECONDS}' for name, each in spent.items())
    left = ", ".join(f'"{name}";r={each.left};t={each.full_in_seconds}' for name, each in spent.items())
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", left.encode())]
