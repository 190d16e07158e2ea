"""The machine of the village once more, over the tables: messages come in batches, again, and out of turn.

Each example is a program of its own in one database. After every step the tables and a fold of the journals show what
the reference shows; at the end of all the auditor finds nothing.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from laurel.io.applying import Applier
from laurel.io.database import Database
from laurel.io.message import Message
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import Outbox
from laurel.io.unit import UnitOfWork
from laurel.program import load_program
from services.points.domain.facts import decode_facts
from services.points.domain.folding import fold
from services.points.domain.state import Wallet
from services.points.entry.consumers import PointsHandler
from services.points.ports import WalletKey
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.testing import FixedPrograms, Note
from tests.points.reference import PROGRAM
from tests.points.stored import findings
from tests.points.village import MEMBERS, Telling, shown
from tests.points.village_machine import VillageMachine, agree, lines, members

_TOTALS = """
    select available, held, pending, owed, earned, spent, expired, reversed, adjusted from balances
    where program = $1 and member = $2 and unit = 'point'"""
_LOTS = """
    select rule, earned_at, expires_at, remaining, held, pending from lots
    where program = $1 and member = $2 and (remaining > 0 or pending > 0)"""


# A failing example is told as it is: to make it smaller would take minutes.
PHASES = (Phase.explicit, Phase.generate)


class Tables:
    """The database that all examples share."""

    def __init__(self, urls: DatabaseUrls) -> None:
        self.urls = urls
        self.loop = asyncio.new_event_loop()
        self.database = self.run(Database.connect(urls.points, schema="points", application="test"))
        self.outbox = self.run(Outbox.load("points", self.database))
        self.programs: Iterator[str] = (f"village-{number}" for number in itertools.count())

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def close(self) -> None:
        self.run(self.database.close())
        self.loop.close()


def stored(tables: Tables) -> type[VillageMachine]:  # noqa: C901  # a class with its database at hand
    """Return the machine over these tables."""

    class StoredVillageMachine(VillageMachine):
        def prepare(self) -> None:
            self.program = next(tables.programs)
            self.telling = Telling(self.program)
            self.road = Road(FixedPrograms(load_program({**PROGRAM, "program": self.program})))
            unit = UnitOfWork(tables.database, tables.outbox)
            self.applier = Applier("points", PointsHandler(self.road, Ledger), unit)
            self.messages: dict[Note, Message] = {}
            self.sent: list[Message] = []
            self.again: list[int] = []

        def run(self, coroutine: Any) -> Any:
            return tables.run(coroutine)

        def teardown(self) -> None:
            """Nothing: the database is everybody's, and is proved at the end."""

        def deliver(self, note: Note) -> list[dict[str, Any]]:
            """Deliver it, with some of what was delivered before in the same batch; what is known comes as it was."""
            # Asked of a hold twice are two requests; an activity is known by its id.
            known = self.messages.get(note) if note.type == "activity.reported.v1" else None
            message = known or self.message(note)
            before = [self.sent[number % len(self.sent)] for number in self.again]
            self.again = []
            self.apply(*before, message)
            return self.said(message)

        def message(self, note: Note) -> Message:
            sequence = sum(each.member == note.member for each in self.sent) + 1
            name, source = f"{note.member}.{sequence}", "laurel/gateway/1"
            headers = {"source": source, "sequence": str(sequence), "type": note.type, "id": name}
            told = {f"ce_{key}": value.encode() for key, value in {**headers, "subject": note.member}.items()}
            message = Message(
                "laurel.gateway.v1", 0, 0, source, sequence, note.type, name, note.program, note.member, "", name, "",
                note.body, told,
            )  # fmt: skip
            self.sent.append(message)
            self.messages[note] = message
            return message

        def apply(self, *messages: Message) -> None:
            self.run(self.applier.apply(list(messages)))

        def said(self, message: Message) -> list[dict[str, Any]]:
            rows = self.run(
                self._rows(
                    "select type, member, payload from outbox where program = $1 and causation = $2 "
                    "order by member <> $3, number",
                    self.program, message.id, message.member,
                )
            )  # fmt: skip
            return [{"type": type_, "member": member, **msgspec.json.decode(body)} for type_, member, body in rows]

        async def _rows(self, query: str, *arguments: Any) -> Any:
            async with tables.database.connection() as connection:
                return await connection.fetch(query, *arguments)

        def run_timers(self, keys: list[WalletKey]) -> None:
            async def due() -> None:
                async with tables.database.transaction() as connection:
                    await self.road.run_due(Ledger(connection), keys, self.now)

            self.run(due())

        @rule(numbers=st.lists(st.integers(0, 999), min_size=1, max_size=6))
        def deliver_again(self, numbers: list[int]) -> None:
            """The broker has lost a commit: the next batch begins with what was delivered before, in any order."""
            self.again = numbers

        @rule(member=members, lines=lines, channel=st.sampled_from(["app", "web"]), late=st.booleans())
        def out_of_turn(self, member: str, lines: list[dict[str, Any]], channel: str, late: bool) -> None:
            """The second message comes before the first, or both in one batch with somebody else's in between."""
            other = MEMBERS[(MEMBERS.index(member) + 1) % 3]
            names = [self.name() for _ in range(3)]
            whose = (member, other, member)
            notes = [
                self.telling.purchase(name, owner, self.now, self.now, lines, channel)
                for name, owner in zip(names, whose, strict=True)
            ]
            first, between, second = [self.message(note) for note in notes]
            order = [(names[0], member), (names[1], other), (names[2], member)]
            if late:
                self.apply(second)
                self.apply(between)
                self.apply(first)
                order = [order[1], order[0], order[2]]
            else:
                self.apply(first, between, second)
            for name, owner in order:
                self.reference.buy(owner, name, self.now, self.now, lines, channel)
                self.bought.append((name, owner))

        def wallets(self) -> dict[str, Wallet]:
            return {member: self.run(self._folded(member)) for member in MEMBERS}

        async def _folded(self, member: str) -> Wallet:
            folded = Wallet(self.program, member)
            query = "select journal, facts from journals where program = $1 and member = $2 order by journal"
            for number, facts in await self._rows(query, self.program, member):
                for fact in decode_facts(facts):
                    fold(folded, number, fact)
            seen = shown(folded)
            for row in await self._rows(_TOTALS, self.program, member):
                agree(dict(row), {name: seen[name] for name in row.keys()})  # noqa: SIM118  # a record is no mapping
            lots = [tuple(row) for row in await self._rows(_LOTS, self.program, member)]
            agree(sorted(lots), seen["lots"])
            return folded

        def refold(self) -> None:
            """Nothing else: what is compared is a fold."""

        def drawn(self) -> int:
            rows = self.run(self._rows("select drawn from budgets where program = $1", self.program))
            return sum(row["drawn"] for row in rows)

    return StoredVillageMachine


def test_the_village_over_the_tables(database_urls: DatabaseUrls) -> None:
    tables = Tables(database_urls)
    checks = list(HealthCheck)
    try:
        run_state_machine_as_test(
            stored(tables),
            settings=settings(
                max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=checks,
                report_multiple_bugs=False, phases=PHASES,
            ),
        )  # fmt: skip
        assert tables.run(findings(database_urls)) == []
    finally:
        tables.close()
