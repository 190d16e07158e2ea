"""The machine of races once more, over the tables: messages come in batches, again, out of turn, and to who dies.

Each example has members and a reward of its own in one database. Inbox, outbox, timer and store are the real ones;
what must come of it the machine keeps as before, by what was said alone. At the end of all the auditor finds nothing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from laurel.io import failpoints
from laurel.io.applying import Applier
from laurel.io.database import Connection, Database
from laurel.io.health import Health
from laurel.io.message import Message
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import Outbox
from laurel.io.unit import UnitOfWork
from services.redemption.domain.facts import decode_facts
from services.redemption.domain.state import HoldState, RewardKey, Saga, SagaKey, SagaState, Stock
from services.redemption.domain.vouchers import Voucher, VoucherKey, VoucherState
from services.redemption.entry.consumers import RedemptionHandler
from services.redemption.entry.timers import WaitTimer
from services.redemption.ports import Announcement
from services.redemption.road import Road
from services.redemption.store.loading import overdue
from services.redemption.store.store import PostgresStore
from services.redemption.store.vault import Vault
from services.redemption.testing import PROGRAM, FixedPrograms, Told
from services.redemption.verifying import Finding, verify
from tests.redemption.races import WHO, Races

_SAGAS = """
    select member, redemption, state, hold, code, points, quantity, counted, waits_until
    from sagas where program = $1 and member = any($2)"""
_VOUCHERS = """
    select member, voucher, state, suffix, issued_at, value, remaining, currency, percent, product, expires_at,
           not_above_basket, parts, elsewhere, redemption
    from vouchers where program = $1 and member = any($2)"""
_DECISIONS = """
    select member, redemption, facts from saga_decisions where program = $1 and member = any($2)
    order by member, redemption, step"""
_NEWS = """
    select member, number, type, payload, at, causation, correlation from outbox
    where program = $1 and member = any($2) order by member, number"""

# A failing example is told as it is: to make it smaller would take minutes.
PHASES = (Phase.explicit, Phase.generate)


class Tables:
    """The database that all examples share."""

    def __init__(self, urls: DatabaseUrls) -> None:
        self.loop = asyncio.new_event_loop()
        self.database = self.run(Database.connect(urls.redemption, schema="redemption", application="test"))
        self.outbox = self.run(Outbox.load("redemption", self.database))
        self.examples = itertools.count()
        self.numbers: Counter[tuple[str, str]] = Counter()

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def rows(self, query: str, *arguments: Any) -> list[Any]:
        async def ask() -> list[Any]:
            async with self.database.connection() as connection:
                return list(await connection.fetch(query, *arguments))

        found: list[Any] = self.run(ask())
        return found

    def close(self) -> None:
        self.run(self.database.close())
        self.loop.close()


def stored(tables: Tables) -> type[Races]:  # noqa: C901  # a class with its database at hand
    """Return the machine over these tables."""

    class StoredRaces(Races):
        def prepare(self) -> None:
            number = next(tables.examples)
            self.members = tuple(f"e{number}-{name}" for name in ("a", "b", "c"))
            self.cup = RewardKey(PROGRAM, f"cup-{number}")
            vault = Vault(b"s" * 48)

            def store_of(connection: Connection) -> PostgresStore:
                return PostgresStore(connection, vault)

            unit, road = UnitOfWork(tables.database, tables.outbox), Road(FixedPrograms())
            self.applier = Applier("redemption", RedemptionHandler(road, store_of), unit)
            self.timer = WaitTimer(
                unit, road, store_of, overdue, Health(),
                hearing=lambda: True, interval_seconds=1, batch_max=2, now=lambda: self.now,
            )  # fmt: skip
            self.seen: Counter[str] = Counter()
            self.dying = ""

        @rule(place=st.sampled_from([failpoints.BEFORE_COMMIT, failpoints.AFTER_COMMIT]))
        def dies_next(self, place: str) -> None:
            """Whoever has the next batch dies with it; what was not noted as read is read again."""
            self.dying = place

        @rule(who=WHO)
        def out_of_turn(self, who: int) -> None:
            """Of two messages of the gateway the second comes first."""
            queue = self.from_gateway[self.members[who]]
            if len(queue) > 1:
                first, second = queue.popleft(), queue.popleft()
                self._numbered(first)
                self._hear([second])
                self._hear([first])

        def hear(self, batch: list[Told]) -> list[Announcement]:
            messages = [_message(self._numbered(told)) for told in batch]
            self._survive(self.applier.apply, messages)
            return self._news()

        def run_due(self) -> list[Announcement]:
            self._survive(self.timer.run_once)
            return self._news()

        def _survive(self, deed: Any, *arguments: Any) -> None:
            place, self.dying = self.dying, ""
            if place:
                with failpoints.armed(place), suppress(failpoints.FailpointReached):
                    tables.run(deed(*arguments))
            tables.run(deed(*arguments))

        def _numbered(self, told: Told) -> Told:
            if not told.sequence:
                tables.numbers[told.source, told.member] += 1
                told.sequence = tables.numbers[told.source, told.member]
            return told

        def _news(self) -> list[Announcement]:
            news = []
            for member, number, type_, body, at, causation, correlation in self._rows(_NEWS):
                if number > self.seen[member]:
                    assert number == self.seen[member] + 1, "the outbox has a gap"
                    self.seen[member] = number
                    news.append(Announcement(PROGRAM, member, type_, body, at, causation, correlation, ""))
            return news

        def sagas(self) -> dict[SagaKey, Saga]:
            found = {}
            for member, redemption, state, hold, code, points, quantity, counted, until in self._rows(_SAGAS):
                key = SagaKey(PROGRAM, member, redemption)
                found[key] = Saga(
                    key, SagaState(state), HoldState(hold), code=code, points=points, quantity=quantity,
                    counted=counted, waits_until=until,
                )  # fmt: skip
            return found

        def stock(self) -> Stock | None:
            query = "select version, total, reserved, taken from stock where program = $1 and reward = $2"
            found = tables.rows(query, *self.cup)
            return Stock(self.cup, *found[0]) if found else None

        def vouchers(self) -> dict[VoucherKey, Voucher]:
            found = {}
            for member, name, state, *rest in self._rows(_VOUCHERS):
                key = VoucherKey(PROGRAM, member, name)
                found[key] = Voucher(key, VoucherState(state), *rest)
            return found

        def decided(self) -> list[tuple[Any, Sequence[Any]]]:
            rows = self._rows(_DECISIONS)
            return [(SagaKey(PROGRAM, member, name), decode_facts(facts)) for member, name, facts in rows]

        def _rows(self, query: str) -> list[Any]:
            return tables.rows(query, PROGRAM, self.members)

        def _decisions_fold_back(self) -> None:
            """The auditor folds them, those of all examples, at the end."""

    return StoredRaces


def _message(told: Told) -> Message:
    headers = {
        "specversion": "1.0", "id": told.id, "source": told.source, "type": told.type, "subject": told.member,
        "sequence": str(told.sequence), "correlationid": told.correlation,
    }  # fmt: skip
    return Message(
        "laurel.test.v1", 0, 0, told.source, told.sequence, told.type, told.id, told.program, told.member,
        told.correlation, told.id, "", told.body, {f"ce_{name}": text.encode() for name, text in headers.items()},
    )  # fmt: skip


def test_races_over_the_tables(database_urls: DatabaseUrls) -> None:
    tables = Tables(database_urls)
    try:
        run_state_machine_as_test(
            stored(tables),
            settings=settings(
                max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False, phases=PHASES,
            ),
        )  # fmt: skip
        assert tables.run(_findings(database_urls)) == []
    finally:
        tables.close()


async def _findings(urls: DatabaseUrls) -> list[Finding]:
    auditor = await asyncpg.connect(urls.auditor)
    try:
        found = [each async for each in verify(auditor, across=False, at_rest=True)]
    finally:
        await auditor.close()
    return [each for each in found if isinstance(each, Finding)]
