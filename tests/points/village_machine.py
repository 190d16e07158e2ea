"""Whatever members do, to each other and to their own points: the engine agrees with the shared rules written down.

Purchases late and in time, returns, holds, captures, releases, cancellations, gifts, adjustments, repeats and time, of
three members, two of whom are one person. The reference knows nothing of the engine (`tests/points/reference.py`).
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from laurel.program import load_program
from services.points.domain.facts import decode_facts, encode_facts
from services.points.domain.folding import fold
from services.points.domain.state import Wallet
from services.points.ports import WalletKey
from services.points.road import Road
from services.points.testing import FixedPrograms, MemoryLedger, Note
from tests.points.reference import MOST, PROGRAM, Reference
from tests.points.till import as_heard
from tests.points.village import ENROLLED, MEMBERS, START, Telling, answered, shown

members = st.sampled_from(MEMBERS)
lines = st.lists(
    st.fixed_dictionaries(
        {
            "amount": st.sampled_from([99, 1_000, 2_550, 7_000, 20_000]),
            "quantity": st.integers(1, 3),
            "category": st.sampled_from(["FRUIT", "BREAD"]),
        }
    ),
    min_size=1,
    max_size=2,
)
points = st.integers(1, 120)


def agree(found: Any, expected: Any) -> None:
    """Say what differs, and no more: a whole member is a page."""
    if isinstance(found, dict) and isinstance(expected, dict):
        keys = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
        found, expected = {key: found.get(key) for key in keys}, {key: expected.get(key) for key in keys}
    assert found == expected, f"the engine has {found}, the reference {expected}"


class VillageMachine(RuleBasedStateMachine):
    """Has everything done twice: by the engine, and by the reference."""

    def __init__(self) -> None:
        super().__init__()
        self.reference = Reference()
        self.telling = Telling(PROGRAM["program"])
        self.now = START
        self.bought: list[tuple[str, str]] = []
        self.holds: list[tuple[str, str]] = []
        self.told: list[tuple[Note, list[dict[str, Any]]]] = []
        self.count = 0
        self.prepare()
        for member in MEMBERS:
            at, person = ENROLLED[member]
            self.send(self.telling.enrolment(member, at, person))
            self.reference.enrol(member, at, person)

    # What plays: here in memory. -------------------------------------------------------------------------------

    def prepare(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.ledger = MemoryLedger()
        self.road = Road(FixedPrograms(load_program(PROGRAM)))

    def teardown(self) -> None:
        self.loop.close()

    def deliver(self, note: Note) -> list[dict[str, Any]]:
        return as_heard(self.loop.run_until_complete(self.road.run(self.ledger, [note])))

    def run_timers(self, keys: list[WalletKey]) -> None:
        self.loop.run_until_complete(self.road.run_due(self.ledger, keys, self.now))

    def wallets(self) -> dict[str, Wallet]:
        return {member: self.ledger.wallets[WalletKey(self.telling.program, member)] for member in MEMBERS}

    def drawn(self) -> int:
        return self.ledger.shared.drawn(self.telling.program, "offer")

    def refold(self) -> None:
        for member, wallet in self.wallets().items():
            folded = Wallet(wallet.program, member)
            for journal in self.ledger.journals:
                if journal.wallet is wallet:
                    for fact in decode_facts(encode_facts(journal.facts)):
                        fold(folded, journal.number, fact)
            assert shown(folded) == shown(wallet)

    # What is played. -------------------------------------------------------------------------------------------

    def send(self, note: Note) -> list[dict[str, Any]]:
        said = self.deliver(note)
        if note.type == "activity.reported.v1":
            self.told.append((note, said))
        return said

    def name(self) -> str:
        self.count += 1
        return f"x-{self.count:03}"

    @rule(
        member=members, lines=lines, days_ago=st.sampled_from([0, 0, 0, 1, 20, 59, 64]),
        channel=st.sampled_from(["app", "web", "store"]),
    )  # fmt: skip
    def buy(self, member: str, lines: list[dict[str, Any]], days_ago: int, channel: str) -> None:
        name, occurred = self.name(), self.now - timedelta(days=days_ago)
        said = self.send(self.telling.purchase(name, member, self.now, occurred, lines, channel))
        expected = self.reference.buy(member, name, self.now, occurred, lines, channel)
        agree(answered(said), expected)
        if not isinstance(expected, str):
            self.bought.append((name, member))

    @precondition(lambda self: self.bought)
    @rule(data=st.data(), whole=st.booleans(), place=st.integers(0, 1), quantity=st.integers(1, 2))
    def give_back(self, data: Any, whole: bool, place: int, quantity: int) -> None:
        of, member = data.draw(st.sampled_from(self.bought))
        places = len(self.reference.members[member]["activities"][of]["lines"])
        self.bring_back(of, member, [] if whole else [(place % places, quantity)])

    def bring_back(self, of: str, member: str, parts: list[tuple[int, int]]) -> None:
        said = self.send(self.telling.giving_back(self.name(), of, member, self.now, parts))
        agree(answered(said), self.reference.give_back(member, of, self.now, parts or None))

    @rule(member=members, amount=points, seconds=st.sampled_from([None, 900, 864_000]))
    def hold(self, member: str, amount: int, seconds: int | None) -> None:
        name = self.name()
        said = self.send(self.telling.hold(name, member, self.now, amount, seconds))
        expected = self.reference.hold(member, name, self.now, amount, seconds)
        agree(answered(said), expected)
        if expected is None and seconds is not None:
            self.holds.append((name, member))

    @precondition(lambda self: self.holds)
    @rule(
        data=st.data(), deed=st.sampled_from(["capture", "capture", "release", "cancel"]),
        amount=st.none() | points, by=st.sampled_from(["member", "provider"]),
    )  # fmt: skip
    def ask_of_hold(self, data: Any, deed: str, amount: int | None, by: str) -> None:
        hold, member = data.draw(st.sampled_from(self.holds))
        said = self.send(self.telling.of_hold(deed, hold, member, self.now, amount, by))
        expected = {
            "capture": lambda: self.reference.capture(member, hold, self.now, amount),
            "release": lambda: self.reference.release(member, hold, self.now),
            "cancel": lambda: self.reference.cancel(member, hold, self.now, amount, by),
        }[deed]()
        found = answered(said)
        assert (found if found is None or isinstance(found, str) else found[0]) == expected

    @rule(giver=members, other=st.integers(1, 2), amount=points)
    def give(self, giver: str, other: int, amount: int) -> None:
        to = MEMBERS[(MEMBERS.index(giver) + other) % 3]
        said = self.send(self.telling.gift(self.name(), giver, to, self.now, amount))
        found, expected = answered(said), self.reference.give(giver, to, self.now, amount)
        assert found == expected

    @rule(member=members)
    def fill(self, member: str) -> None:
        """Bring a member up to its balance cap, so that this is what cuts."""
        room = MOST - self.reference.outstanding(self.reference.members[member])
        if room > 0:
            self.adjust(member=member, amount=room, reason="goodwill")

    @rule(
        member=members, amount=st.integers(-150, 150).filter(bool), reason=st.sampled_from(["goodwill", "correction"])
    )
    def adjust(self, member: str, amount: int, reason: str) -> None:
        said = self.send(self.telling.adjustment(self.name(), member, self.now, amount, reason))
        expected = self.reference.adjust(member, self.now, amount, may_owe=reason == "correction")
        agree(answered(said), expected)

    @precondition(lambda self: self.told)
    @rule(which=st.integers(0, 99))
    def repeat(self, which: int) -> None:
        """An activity that is reported again is answered as before, and nothing moves."""
        note, said = self.told[which % len(self.told)]
        agree(answered(self.deliver(note)), answered(said))

    @rule(hours=st.sampled_from([1, 20, 24 * 9, 24 * 31, 24 * 62]), timers=st.sets(members))
    def wait(self, hours: int, timers: set[str]) -> None:
        """Let time pass, and timers run for some."""
        self.now += timedelta(hours=hours)
        self.run_timers([WalletKey(self.telling.program, member) for member in sorted(timers)])
        for member in timers:
            self.reference.pass_time(member, self.now)

    @invariant()
    def all_agree(self) -> None:
        for member, wallet in self.wallets().items():
            agree(shown(wallet), self.reference.shown(member))
        assert self.drawn() == self.reference.drawn
        self.refold()
