"""Baskets through the gateway: households enrolled on first sight, then batches, or one by one."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from laurel.replaying.complete_journey import Basket, Product
from laurel.replaying.gateway import Gateway, GatewayError, problem_of, require, together
from laurel.replaying.mapping import encode, enrolment, member_id, ndjson, purchase
from laurel.replaying.pacing import Pace
from laurel.replaying.summary import ReplaySummary

Progress = Callable[[ReplaySummary], None]

_JSON = {"content-type": "application/json"}
_POLL_SECONDS = 0.1
_ERRORS_READ_MAX = 1_000
_FLUSH_SECONDS = 0.2
_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True)
class HowToSend:
    """How baskets travel. None of it changes what they earn."""

    batch_size: int = 10_000
    gzip: bool = False
    one_by_one: bool = False
    lanes: int = 16
    """How many requests may be open at once; a household keeps to one lane, so its baskets stay in order."""
    wait_seconds: int = 30
    times_faster: float | None = None
    seconds_max: float | None = None
    """After so long no new basket is sent; what was sent is waited for."""


class Replay:
    """One run over baskets in order of time. Another finds every basket a duplicate and changes nothing."""

    def __init__(
        self,
        gateway: Gateway,
        program: str,
        products: Mapping[int, Product],
        how: HowToSend = HowToSend(),
        progress: Progress = lambda _: None,
    ) -> None:
        self._gateway = gateway
        self._base = f"/v1/programs/{program}"
        self._products = products
        self._how = how
        self._progress = progress
        self._seen: set[int] = set()
        self.summary = ReplaySummary()

    @property
    def households(self) -> list[str]:
        """The members met so far."""
        return [member_id(household) for household in sorted(self._seen)]

    async def run(self, baskets: Iterable[Basket]) -> ReplaySummary:
        """Send the baskets and return what became of them, once all have an outcome."""
        started = perf_counter()
        send = self._one_by_one if self._how.one_by_one else self._in_batches
        try:
            await send(baskets)
        finally:
            self.summary.seconds = perf_counter() - started
        self._progress(self.summary)
        return self.summary

    async def _in_batches(self, baskets: Iterable[Basket]) -> None:
        """One batch at a time, for lines of two open batches are taken in turns; the next is made ready meanwhile."""
        under_way: asyncio.Task[None] | None = None
        try:
            async for chunk in self._chunks(baskets, self._how.batch_size):
                await self._enrol(chunk)
                body = await asyncio.to_thread(self._body, chunk)
                if under_way is not None:
                    await under_way
                location = await self._post_batch(body)
                self.summary.sent += len(chunk)
                under_way = asyncio.create_task(self._finish(location))
            if under_way is not None:
                await under_way
        finally:
            if under_way is not None:
                under_way.cancel()

    async def _post_batch(self, body: bytes) -> str:
        headers = {"content-type": "application/x-ndjson"}
        if self._how.gzip:
            headers["content-encoding"] = "gzip"
        answer = await self._gateway.ask("POST", f"{self._base}/batches", body=body, headers=headers)
        require(answer)
        return answer.headers["location"]

    def _body(self, chunk: list[Basket]) -> bytes:
        body = ndjson([encode(purchase(basket, self._products)) for basket in chunk])
        return gzip.compress(body, _GZIP_LEVEL) if self._how.gzip else body

    async def _finish(self, location: str) -> None:
        """Wait for a batch, showing how far it is, then count it."""
        while True:
            batch = await self._gateway.get(location)
            if batch["state"] == "cut_off":
                raise GatewayError(f"The batch {location} broke off after {batch.get('received', 0)} lines")
            if batch["state"] == "done":
                break
            self._progress(self.summary.with_batch(batch))
            await asyncio.sleep(_POLL_SECONDS)
        self.summary.add_batch(batch)
        if batch.get("refused", 0) or batch.get("rejected", 0):
            await self._read_errors(location)
        self._progress(self.summary)

    async def _read_errors(self, location: str) -> None:
        import msgspec

        answer = await self._gateway.ask("GET", f"{location}/errors")
        require(answer)
        for line in answer.content.splitlines()[:_ERRORS_READ_MAX]:
            self.summary.codes[str(msgspec.json.decode(line).get("code", ""))] += 1

    async def _one_by_one(self, baskets: Iterable[Basket]) -> None:
        queues = [asyncio.Queue[Basket | None](maxsize=4) for _ in range(self._how.lanes)]
        async with together() as lanes:
            for queue in queues:
                lanes.create_task(self._lane(queue))
            async for chunk in self._chunks(baskets, 1):
                for basket in chunk:
                    await queues[basket.household % len(queues)].put(basket)
            for queue in queues:
                await queue.put(None)

    async def _lane(self, queue: asyncio.Queue[Basket | None]) -> None:
        while (basket := await queue.get()) is not None:
            await self._enrol([basket])
            await self._post_one(basket)
            self._progress(self.summary)

    async def _post_one(self, basket: Basket) -> None:
        self.summary.sent += 1
        answer = await self._gateway.ask(
            "POST",
            f"{self._base}/activities",
            body=encode(purchase(basket, self._products)),
            headers={**_JSON, "prefer": f"wait={self._how.wait_seconds}"},
        )
        if answer.headers.get("idempotency-replayed") == "true":
            self.summary.duplicate += 1
            return
        if answer.status_code in (400, 404, 413, 415, 422):
            self.summary.rejected += 1
            self.summary.codes[problem_of(answer)[0]] += 1
            return
        if answer.status_code == 409:
            self.summary.refused += 1
            self.summary.codes[problem_of(answer)[0]] += 1
            return
        require(answer)
        if answer.status_code == 202:
            self._count(await self._outcome(answer.headers["location"]))
        else:
            self._count(answer.json())

    async def _outcome(self, location: str) -> dict[str, Any]:
        """Wait for an activity that took longer than one request may. One that is parked is left pending."""
        while True:
            shown: dict[str, Any] = await self._gateway.get(location)
            if shown["state"] != "pending" or shown.get("delayed") or "reason" in shown:
                return shown
            await asyncio.sleep(_POLL_SECONDS)

    def _count(self, outcome: Mapping[str, Any]) -> None:
        state = outcome["state"]
        if state == "posted":
            self.summary.posted += 1
        elif state == "refused":
            self.summary.refused += 1
            self.summary.codes[str(outcome.get("code", ""))] += 1
        else:
            self.summary.pending += 1
        for award in outcome.get("awards", ()):
            self.summary.awarded[award["unit"]] += award["amount"]

    async def _enrol(self, chunk: list[Basket]) -> None:
        """Enrol the households of a chunk that were not met before, many at a time."""
        first: dict[int, Basket] = {}
        for basket in chunk:
            if basket.household not in self._seen:
                first.setdefault(basket.household, basket)
        if not first:
            return
        waiting = iter(first.values())

        async def lane() -> None:
            for basket in waiting:
                await self._enrol_one(basket)

        async with together() as lanes:
            for _ in range(min(self._how.lanes, len(first))):
                lanes.create_task(lane())

    async def _enrol_one(self, basket: Basket) -> None:
        answer = await self._gateway.ask(
            "POST",
            f"{self._base}/members",
            body=encode(enrolment(basket)),
            headers={**_JSON, "prefer": f"wait={self._how.wait_seconds}"},
        )
        if answer.status_code == 409 and problem_of(answer)[0] == "member_exists":
            self._seen.add(basket.household)
            return
        require(answer)
        self._seen.add(basket.household)
        self.summary.enrolled += 1
        self._progress(self.summary)

    async def _chunks(self, baskets: Iterable[Basket], size: int) -> AsyncIterator[list[Basket]]:
        """Gather baskets, no sooner than the pace has them happen."""
        pace = Pace(self._how.times_faster, perf_counter)
        started = perf_counter()
        chunk: list[Basket] = []
        for basket in baskets:
            if self._how.seconds_max is not None and perf_counter() - started > self._how.seconds_max:
                break
            wait = pace.wait_seconds(basket.seconds)
            if wait > _FLUSH_SECONDS and chunk:
                yield chunk
                chunk = []
                wait = pace.wait_seconds(basket.seconds)
            if wait > 0:
                await asyncio.sleep(wait)
            chunk.append(basket)
            if len(chunk) >= size:
                yield chunk
                chunk = []
        if chunk:
            yield chunk
