"""Partners that fulfil are asked here, between two transactions: one takes the call, one keeps what was answered.

A process that dies between them leaves a call that falls due again; what it may have asked is then read back.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Protocol

import msgspec
import prometheus_client
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from laurel.io import failpoints
from laurel.io.database import Connection, is_away, is_conflict
from laurel.io.health import Health
from laurel.io.kafka import Backoff
from laurel.io.keeping import keep_doing
from laurel.io.reaching_out import AddressRefusedError, Answer, UnreachableError
from laurel.io.telemetry import logger
from laurel.io.unit import UnitOfWork
from services.redemption.domain.calling import (
    CHANCES,
    LEASE_SECONDS,
    Call,
    Question,
    Read,
    Verdict,
    address_of,
    pause_before,
    read_answer,
)
from services.redemption.domain.heard import PartnerAnswered, PartnerSilent
from services.redemption.domain.partnering import call_id
from services.redemption.entry.allotting import Allotment, Places
from services.redemption.entry.consumers import StoreOf, count, sayings_of
from services.redemption.road import Road

log = logger(__name__)

PART: Final = "calling"
_ANSWER_BYTES_MAX: Final = 524_288
"""A thousand codes, each of 64 characters and each of these escaped."""
_KEEP_SECONDS: Final = LEASE_SECONDS - 3
"""For how long an answer is held in hand while the database is away: until another process may soon ask."""
_ENDS: Final = frozenset({Verdict.FULFILLED, Verdict.REFUSED})
_HEARD: Final = frozenset({Verdict.TOLD, Verdict.NOT_THERE})
_STRANGE: Final = frozenset({Verdict.MALFORMED, Verdict.WRONGLY_SIGNED, Verdict.ADDRESS_REFUSED})

ANSWERS = prometheus_client.Counter(
    "laurel_redemption_partner_answers_total", "What partners that fulfil answered", ["verdict"]
)
OVERDUE = prometheus_client.Gauge(
    "laurel_redemption_partners_overdue", "Redemptions whose partner has been silent for longer than it may be"
)


class Reaching(Protocol):
    """The way out."""

    async def ask(
        self,
        method: str,
        address: str,
        *,
        body: bytes | None,
        headers: dict[str, str],
        seconds: float,
        answer_bytes_max: int,
    ) -> Answer:
        """Ask an address."""

    async def close(self) -> None:
        """Let go of every connection."""


class Calls(Protocol):
    """The table of partners that are to be asked."""

    async def take_due(
        self, connection: Connection, now: datetime, limit: int, allowed: Mapping[str, int], each: int
    ) -> list[Call]:
        """Take calls that are due: of the places named so many, of any other `each`."""

    async def keep_answer(
        self, connection: Connection, call: Call, at: datetime, status: int, verdict: str, detail: str, digest: bytes
    ) -> None:
        """Keep what was answered."""

    async def ask_again(self, connection: Connection, call: Call, at: datetime) -> None:
        """Have it asked again then."""

    async def drop_call(self, connection: Connection, call: Call) -> None:
        """Have it asked no more."""

    async def any_call(self, connection: Connection) -> bool:
        """Say whether anybody is to be asked, now or later."""

    async def overdue_calls(self, connection: Connection, now: datetime) -> int:
        """Return how many partners have been silent for too long."""


def _now() -> datetime:
    return datetime.now(UTC)


class PartnerCaller:
    """Asks partners that are due, so many at once; each call is a task of its own, so none waits for a slow one.

    Of the calls at once, and of those in a second, a single partner has no more than its allotment, so that one that is
    slow, or has very many, delays nobody else's.
    """

    def __init__(
        self,
        unit: UnitOfWork,
        road: Road,
        store_of: StoreOf,
        calls: Calls,
        outside: Reaching,
        secret_of: Callable[[str, str], str],
        on_wall_clock: Callable[[str], bool],
        health: Health,
        *,
        interval_seconds: float,
        at_once: int,
        allotment: Allotment,
        now: Callable[[], datetime] = _now,
        stamped: Callable[[], datetime] = _now,
    ) -> None:
        """`now` says what is due, `stamped` when a question was signed: partners believe only what is recent."""
        self._unit = unit
        self._road = road
        self._store_of = store_of
        self._calls = calls
        self._outside = outside
        self._secret_of = secret_of
        self._on_wall_clock = on_wall_clock
        self._health = health
        self._interval_seconds = interval_seconds
        self._at_once = at_once
        self._places = Places(allotment)
        self._now = now
        self._stamped = stamped
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Ask whoever is due, again and again, until cancelled; trouble is told and waited out."""
        try:
            await keep_doing(self._look, partial(asyncio.sleep, self._interval_seconds), self._health, PART)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            await self._outside.close()

    async def _look(self) -> bool:
        free = self._at_once - len(self._running)
        if not free:
            return False
        taken = await self._take(free)
        for call in taken:
            task = asyncio.create_task(self._see_to(call))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(taken) == free

    async def run_once(self) -> int:
        """Ask all that are due now, and return how many that were."""
        taken = await self._take(self._at_once)
        await asyncio.gather(*(self._see_to(call) for call in taken))
        return len(taken)

    async def _take(self, limit: int) -> list[Call]:
        seconds = asyncio.get_running_loop().time()
        taken: list[Call] = []
        overdue = 0
        # Mostly there is nobody to ask, and the cheap question is asked ten times a second.
        async with self._unit.database.connection() as connection:
            any_call = await self._calls.any_call(connection)
        if any_call:
            async with self._unit.database.transaction() as connection:
                allowed = self._places.allowed(seconds)
                most = self._places.allotment.at_once
                taken = await self._calls.take_due(connection, self._now(), limit, allowed, most)
                overdue = await self._calls.overdue_calls(connection, self._now())
        for call in taken:
            self._places.begin(call.place, seconds)
        OVERDUE.set(overdue)
        text = (
            f"{overdue} redemptions or cancellations await partners that have been silent for too long"
            if overdue
            else ""
        )
        self._health.detail(PART, text)
        return taken

    async def _see_to(self, call: Call) -> None:
        """Ask, and keep what came of it. What cannot be kept is read back when the call falls due again."""
        try:
            answer, read = await self._ask(call)
            await failpoints.reach(failpoints.AFTER_PARTNER)
            await self._kept(call, answer, read)
        except Exception:
            log.exception("a partner's answer could not be kept; it is read back", redemption=call.key.redemption)
        finally:
            self._places.end(call.place)

    async def _kept(self, call: Call, answer: Answer | None, read: Read) -> None:
        """Keep an answer, also where others were met, or the database comes back while the call is still ours."""
        loop, backoff = asyncio.get_running_loop(), Backoff(0.05, 1.0)
        until = loop.time() + _KEEP_SECONDS
        while True:
            try:
                await self._keep(call, answer, read)
            except Exception as error:
                if is_conflict(error):
                    continue
                if not is_away(error) or loop.time() > until:
                    raise
                await backoff.pause()
            else:
                return

    async def _ask(self, call: Call) -> tuple[Answer | None, Read]:
        order = call_id(call.key)
        body = b"" if call.question is Question.READ_BACK else _body(call, order)
        address = address_of(call.terms.url, call.question, order)
        # Telling a cancellation is another question than the order.
        name = f"{order}-cancelled" if call.question is Question.CANCELLED else order
        hook = Webhook(self._secret_of(call.key.program, call.reward))
        at = self._stamped()
        headers = {
            "webhook-id": name,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": hook.sign(name, at, body.decode()),
            "idempotency-key": f'"{name}"',
        }
        if body:
            headers["content-type"] = "application/json"
        try:
            answer = await self._outside.ask(
                call.question.method,
                address,
                body=body or None,
                headers=headers,
                seconds=float(call.terms.timeout_seconds),
                answer_bytes_max=_ANSWER_BYTES_MAX,
            )
        except UnreachableError as error:
            return None, Read(Verdict.UNREACHABLE, str(error))
        except AddressRefusedError as error:
            return None, Read(Verdict.ADDRESS_REFUSED, str(error))
        return answer, read_answer(call, answer.status, answer.body, signed=_is_signed(hook, name, answer))

    async def _keep(self, call: Call, answer: Answer | None, read: Read) -> None:
        """Decide by the answer and keep it, in one transaction."""
        now = self._now()
        # A sandbox's time is its own, whatever the wall's clock says.
        at = now if self._on_wall_clock(call.key.program) else call.saga_at
        status, body = (answer.status, answer.body) if answer is not None else (0, b"")
        async with self._unit.begin() as work:
            store = self._store_of(work.connection)
            codes = read.said.codes if read.said is not None else ()
            if codes and await store.codes_known(call.key.program, codes):
                read = Read(Verdict.MALFORMED, "it gives codes that were given before")
            announced = await self._road.run_due(store, _heard(call, read, at, now))
            work.say_all(sayings_of(announced))
            work.after_commit(partial(count, announced))
            digest = hashlib.sha256(body).digest()
            await self._calls.keep_answer(work.connection, call, now, status, str(read.verdict), read.detail, digest)
            if call.question is Question.CANCELLED and read.verdict in _HEARD:
                await self._calls.drop_call(work.connection, call)
            elif read.verdict not in _ENDS:
                again = now + pause_before(call.attempt, random.randrange(CHANCES + 1))  # noqa: S311  (nobody gains by guessing it)
                await self._calls.ask_again(work.connection, call, again)
        ANSWERS.labels(read.verdict).inc()
        if read.verdict in _STRANGE:
            log.warning("a partner's answer is not believed", verdict=str(read.verdict), reward=call.reward)


def _heard(call: Call, read: Read, at: datetime, now: datetime) -> list[PartnerAnswered | PartnerSilent]:
    """Return what an answer, or none in time, tells the redemption."""
    program, member, redemption = call.key
    if read.verdict in _ENDS and read.said is not None:
        said = read.said
        return [
            PartnerAnswered(
                program=program,
                member=member,
                redemption=redemption,
                at=at,
                fulfilled=read.verdict is Verdict.FULFILLED,
                reference=said.reference,
                code=said.code,
                codes=said.codes,
            )
        ]
    if call.question is not Question.CANCELLED and now >= call.deadline and not call.delayed:
        return [PartnerSilent(program=program, member=member, redemption=redemption, at=at)]
    return []


def _body(call: Call, order: str) -> bytes:
    program, member, redemption = call.key
    told = {
        "id": order, "program": program, "redemption": redemption, "member": member, "reward": call.reward,
        "quantity": call.quantity,
    }  # fmt: skip
    return msgspec.json.encode({**told, "by": call.by} if call.by else told)


def _is_signed(hook: Webhook, name: str, answer: Answer) -> bool:
    """Say whether it is signed by our common secret, lately, and as an answer to this question."""
    headers: dict[str, Any] = dict(answer.headers)
    try:
        hook.verify(answer.body, headers, json_parse=False)
    except (WebhookVerificationError, ValueError, OverflowError, OSError):
        return False
    return bool(headers.get("webhook-id") == name)
