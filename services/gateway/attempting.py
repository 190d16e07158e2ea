"""One webhook being told: each member's events in order, members beside each other, what failed again and later.

What was told is written in sets, so a crash repeats a little and loses nothing: the webhook's position stays before the
first event of which nothing is written yet. An event that failed, and those of its member behind it, are written as
waiting, so a member whose events are not taken holds up nobody else.
"""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter

from laurel.io.reaching_out import AddressRefusedError, UnreachableError
from laurel.io.telemetry import logger
from services.gateway.hearing import Wish
from services.gateway.queueing import Item, Queues
from services.gateway.signing import headers_of
from services.gateway.store import deliveries, webhooks
from services.gateway.store.deliveries import DELIVERED, FAILED, WAITING, Attempted
from services.gateway.store.events import EventsGoneError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from laurel.io.database import Database
    from laurel.io.reaching_out import Outside
    from services.gateway.feeding import Feed
    from services.gateway.settings import GatewaySettings
    from services.gateway.signing import Signing
    from services.gateway.store.webhooks import WebhookRow

log = logger(__name__)

DELIVERIES = Counter(
    "laurel_webhook_deliveries_total", "Attempts to tell webhooks, by what became of them", ["outcome"]
)

FAILING: Final = "failing"
GONE: Final = "gone"
_GONE_STATUS: Final = 410
_WINDOW: Final = 2_000
"""How many events of one webhook are in memory; with more waiting, new ones stay in the table."""
_STREAK: Final = 10
"""After so many failures in a row only one at a time is tried, and nothing new is read, until one is taken."""
_WRITE_SECONDS: Final = 0.05
_WRITE_MAX: Final = 200
_IDLE_WRITE_SECONDS: Final = 15.0
_REST_SECONDS: Final = 1.0
_LAST_ANSWERS_SECONDS: Final = 4.0
_RETRY_AFTER_SECONDS_MAX: Final = 3_600
_RETRY_AFTER_DIGITS: Final = len(str(_RETRY_AFTER_SECONDS_MAX))
_GROWTH: Final = 4
_ANSWER_BYTES_MAX: Final = 4_096


def pause_asked(header: str) -> int:
    """Return for how many seconds a receiver asks to be left alone, an hour at most; 0 where it names no number."""
    if not header.isascii() or not header.isdigit():
        return 0
    # Python does not read numbers of thousands of digits, and need not.
    digits = header.lstrip("0")
    return (
        _RETRY_AFTER_SECONDS_MAX
        if len(digits) > _RETRY_AFTER_DIGITS
        else min(int(digits or "0"), _RETRY_AFTER_SECONDS_MAX)
    )


class Lost(Exception):  # noqa: N818 - it is no fault
    """The webhook is told by another worker now, or is gone."""


class Endpoint:
    """Tells one webhook for as long as this worker holds it."""

    def __init__(
        self,
        row: WebhookRow,
        holder: str,
        database: Database,
        feed: Feed,
        outside: Outside,
        signing: Signing,
        settings: GatewaySettings,
        clock: Callable[[], datetime],
    ) -> None:
        self.row = row
        self._holder = holder
        self._database = database
        self._feed = feed
        self._outside = outside
        self._signing = signing
        self._settings = settings
        self._clock = clock
        self._wish = Wish(row.types, frozenset(row.programs), row.partner if row.own_only else None)
        self._queues = Queues()
        self._results: dict[int, Attempted] = {}
        self._flying: set[asyncio.Task[None]] = set()
        self._scanned = row.position
        self._written = row.position
        self._written_at = 0.0
        self._ahead: set[int] = set()
        self._unloaded = True
        self._loaded_version = row.version
        self._streak = 0
        self._failing_since = row.failing_since
        self._last_error = row.last_error
        self._delivered_at: datetime | None = None
        self._missed_at: datetime | None = None
        self._end: str | None = None
        self._stopping = False
        self._woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Tell until stopped, until the receiver has had its chances, or until another worker holds it."""
        try:
            async with self._feed.listening():
                async with self._database.connection() as connection:
                    self._ahead = await deliveries.ahead(connection, self.row.webhook, self._scanned)
                while not self._stopping and not self._feed.closed:
                    found = await self._fill()
                    self._start()
                    if self._is_time_to_write():
                        await self._write()
                    elif not found:
                        await self._rest()
                if self._flying:
                    await asyncio.wait(self._flying, timeout=_LAST_ANSWERS_SECONDS)
                await self._write()
        except Lost:
            log.info("a webhook is told by somebody else", webhook=self.row.webhook)
        finally:
            for task in self._flying:
                task.cancel()

    def stop(self) -> None:
        """Begin nothing new; what is on its way is waited for, and written."""
        self._stopping = True
        self._wake()

    def renew(self, row: WebhookRow) -> None:
        """Take up what somebody has changed: its secrets, or what is to be sent again."""
        if row.version != self.row.version:
            self.row = row
            self._unloaded = True
            self._wake()

    # What is to be told. -----------------------------------------------------------------------------------------

    async def _fill(self) -> bool:
        """Take in what waits and what is new, as far as there is room; say whether there was anything."""
        if self._unloaded and len(self._queues) < _WINDOW // 2:
            await self._load()
        if not self._takes_more:
            return False
        try:
            found = await self._feed.after(self._scanned)
        except EventsGoneError as gone:
            # They were kept for as long as the settings say, and nobody took them.
            log.warning("a webhook missed events that are no longer kept", webhook=self.row.webhook)
            self._missed_at = self._clock()
            self._scanned = gone.first - 1
            return True
        hears, ahead, queues = self._wish.hears, self._ahead, self._queues
        for event in found:
            position = event.position
            if hears(event) and position not in ahead and position not in queues:
                told = self._wish.told(event.event, event.partner)
                queues.add(Item(position, event.program, event.member, event.type, told))
            ahead.discard(position)
        if found:
            self._scanned = found[-1].position
        return bool(found)

    async def _load(self) -> None:
        self._unloaded = False
        version = self.row.version
        async with self._database.connection() as connection:
            found = await deliveries.waiting(connection, self.row.webhook, _WINDOW)
        self._loaded_version = version
        here = asyncio.get_running_loop().time() - self._clock().timestamp()
        for each in found:
            due = here + each.next_at.timestamp() if each.next_at is not None else 0.0
            known = self._queues.get(each.position)
            if known is None:
                self._queues.add(
                    Item(
                        each.position,
                        each.program,
                        each.member,
                        each.type,
                        self._wish.told(each.event, each.partner),
                        each.attempts,
                        due,
                        each.first_at,
                        written=True,
                    )
                )
            elif each.attempts < known.attempts:
                # Somebody wants it tried at once.
                known.attempts = each.attempts
                if known.flying:
                    # The attempt on its way is the first of those that it is given anew.
                    known.first_at = self._clock()
                else:
                    self._queues.again(known, due)
        self._unloaded = len(found) == _WINDOW

    @property
    def _takes_more(self) -> bool:
        return not self._unloaded and self._streak < _STREAK and len(self._queues) < _WINDOW // 2

    # Telling it. -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        at_once = self._settings.webhook_at_once if self._streak < _STREAK else 1
        now = asyncio.get_running_loop().time()
        while len(self._flying) < at_once and (item := self._queues.take(now)) is not None:
            task = asyncio.create_task(self._attempt(item))
            self._flying.add(task)
            task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A mistake of ours: nothing more is told here until the webhook is taken up anew.
            log.error("an attempt broke", webhook=self.row.webhook, error=repr(error))
            self._stopping = True
        self._wake()

    async def _attempt(self, item: Item) -> None:
        row, at = self.row, self._clock()
        item.first_at = item.first_at or at
        headers = headers_of(f"{row.webhook}-{item.position}", at, item.event, self._secrets(at))
        status: int | None = None
        after = 0
        try:
            answer = await self._outside.ask(
                "POST",
                row.url,
                body=item.event,
                headers=headers,
                seconds=self._settings.webhook_seconds,
                answer_bytes_max=_ANSWER_BYTES_MAX,
            )
        except (UnreachableError, AddressRefusedError) as failure:
            error = str(failure)
        else:
            status = answer.status
            if 200 <= status < 300:
                self._taken(item, status)
                return
            error = f"answered {status}"
            after = pause_asked(answer.headers.get("retry-after", ""))
        self._failed(item, status, error, after)

    def _secrets(self, at: datetime) -> list[str]:
        row = self.row
        found = [self._signing.secret(row.webhook, row.generation)]
        if row.before_until is not None and at < row.before_until:
            found.append(self._signing.secret(row.webhook, row.generation - 1))
        return found

    def _taken(self, item: Item, status: int) -> None:
        DELIVERIES.labels("delivered").inc()
        item.attempts += 1
        self._streak = 0
        self._failing_since = None
        self._delivered_at = self._clock()
        self._note(item, DELIVERED, None, status, None)
        self._queues.done(item)

    def _failed(self, item: Item, status: int | None, error: str, after_seconds: int) -> None:
        DELIVERIES.labels("failed").inc()
        now = self._clock()
        item.attempts += 1
        self._streak += 1
        self._failing_since = self._failing_since or now
        self._last_error = error
        used_up = item.attempts >= self._settings.webhook_attempts_max
        if status == _GONE_STATUS or (used_up and not self._took_anything_since(item)):
            # It wants no more, or has taken nothing at all since this event came: it is disabled, and this event
            # is the first that it will be told when it is enabled again.
            self._end = GONE if status == _GONE_STATUS else FAILING
            self._stopping = True
            used_up = False
        if used_up:
            # The receiver takes others, only this one it does not.
            DELIVERIES.labels("given_up").inc()
            self._note(item, FAILED, None, status, error)
            self._queues.done(item)
            return
        pause = max(self._pause(item.attempts), after_seconds)
        self._note(item, WAITING, now + timedelta(seconds=pause), status, error)
        self._queues.again(item, asyncio.get_running_loop().time() + pause)

    def _took_anything_since(self, item: Item) -> bool:
        last = self._delivered_at or self.row.delivered_at
        return last is not None and item.first_at is not None and last >= item.first_at

    def _pause(self, attempts: int) -> float:
        first, most = self._settings.webhook_retry_seconds, self._settings.webhook_retry_seconds_max
        grown = min(first * _GROWTH ** min(attempts - 1, 20), most)
        return float(grown) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret

    def _note(self, item: Item, state: str, next_at: datetime | None, status: int | None, error: str | None) -> None:
        self._results[item.position] = Attempted(
            item.position,
            item.program,
            item.member,
            item.type,
            state,
            item.attempts,
            next_at,
            status,
            error,
            item.first_at,
            self._clock(),
        )

    # Writing down. -----------------------------------------------------------------------------------------------

    def _is_time_to_write(self) -> bool:
        since = asyncio.get_running_loop().time() - self._written_at
        if self._results:
            return since >= _WRITE_SECONDS or len(self._results) >= _WRITE_MAX
        return self._scanned > self._written and since >= _IDLE_WRITE_SECONDS and not len(self._queues)

    async def _write(self) -> None:
        results, self._results = self._results, {}
        behind = [item for item in self._queues.behind_failed() if item.position not in results]
        now = self._clock()
        rows = [
            *results.values(),
            *(
                Attempted(i.position, i.program, i.member, i.type, WAITING, 0, now, None, None, None, None)
                for i in behind
            ),
        ]
        written = {row.position for row in rows}
        position = min((at for at in self._queues.unwritten() if at not in written), default=self._scanned + 1) - 1
        try:
            await self._keep(sorted(rows), position)
        except Exception:
            self._results = {**results, **self._results}
            raise
        for at in written:
            item = self._queues.get(at)
            if item is not None:
                item.written = True
        self._written = position
        self._written_at = asyncio.get_running_loop().time()

    async def _keep(self, rows: Sequence[Attempted], position: int) -> None:
        webhook = self.row.webhook
        async with self._database.transaction() as connection:
            version = await webhooks.progress(
                connection,
                webhook,
                self._holder,
                position,
                self._failing_since,
                self._last_error if self._failing_since is not None else None,
                self._delivered_at,
                self._missed_at,
            )
            if version is None:
                raise Lost
            # What somebody has wished since is not known here yet, and is not to be written over.
            await deliveries.put(connection, webhook, rows, heeding_wishes=version != self._loaded_version)
            if self._end is not None:
                await webhooks.give_up(connection, webhook, self._holder, self._end, self._clock())
        if self._end is not None:
            log.warning("a webhook is disabled", webhook=webhook, reason=self._end, error=self._last_error)

    # Resting. ----------------------------------------------------------------------------------------------------

    async def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        seconds = _REST_SECONDS
        now = loop.time()
        at_once = self._settings.webhook_at_once if self._streak < _STREAK else 1
        due = self._queues.due_at() if len(self._flying) < at_once else None
        if due is not None:
            seconds = min(seconds, due - now)
        if self._results:
            seconds = min(seconds, self._written_at + _WRITE_SECONDS - now)
        if self._takes_more:
            await self._feed.moved(self._scanned, max(seconds, 0.001), self._woken)
        else:
            await asyncio.wait((self._woken,), timeout=max(seconds, 0.001))
        if self._woken.done():
            self._woken = loop.create_future()

    def _wake(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)
