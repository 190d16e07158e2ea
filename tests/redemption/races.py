"""Sagas, stock, vouchers and points in every order that queues, repeats and timers allow.

What must come of it is kept beside them by `Ledger`, which knows nothing of sagas: pieces and points are had by those
whom somebody told that they have them, until somebody told them that they have them no more.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from services.redemption.domain.facts import decode_facts, encode_facts
from services.redemption.domain.heard import TimeIsUp
from services.redemption.domain.state import HoldState, Saga, SagaKey, SagaState, State, Stock
from services.redemption.domain.vouchers import Voucher, VoucherKey, VoucherState
from services.redemption.ports import Announcement
from services.redemption.road import Road
from services.redemption.testing import (
    NOON,
    FixedPrograms,
    MemoryStore,
    PaperPoints,
    Told,
    finish,
    redemption_cancelled,
    redemption_confirmed,
    redemption_requested,
    reward_published,
    voucher_used,
    voucher_voided,
)
from tests.redemption.domain.desk import CUP

PRICE = 100
MEMBERS = ("m-1", "m-2", "m-3")
WHO = st.integers(0, 2)
ENDS = {"redemption.fulfilled.v1", "redemption.refused.v1", "redemption.cancelled.v1"}


@dataclass
class Ledger:
    """Who has what, by what was said alone."""

    had: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    good: set[str] = field(default_factory=set)
    spent: dict[str, str] = field(default_factory=dict)
    """By which till; the same use is said again to whoever asks again."""
    dead: set[str] = field(default_factory=set)

    def hear(self, said: Announcement) -> None:
        told = msgspec.json.decode(said.body)
        match said.type:
            case "redemption.fulfilled.v1":
                assert told["redemption"] not in self.refused
                self.had.add(told["redemption"])
            case "redemption.refused.v1":
                assert told["redemption"] not in self.had | self.cancelled
                self.refused.add(told["redemption"])
            case "redemption.cancelled.v1":
                assert told["redemption"] not in self.refused
                self.cancelled.add(told["redemption"])
            case "voucher.issued.v1":
                assert told["voucher"] not in self.good, "issued once"
                self.good.add(told["voucher"])
            case "voucher.redeemed.v1":
                if told["voucher"] in self.good:
                    self.good.remove(told["voucher"])
                    self.spent[told["voucher"]] = told["reference"]
                assert self.spent[told["voucher"]] == told["reference"], "spent once"
            case "voucher.undone.v1":
                del self.spent[told["voucher"]]
                self.good.add(told["voucher"])
            case "voucher.voided.v1":
                assert told["voucher"] in self.good | self.dead
                self.good.discard(told["voucher"])
                self.dead.add(told["voucher"])


class Races(RuleBasedStateMachine):
    """Redemption and points, with a queue in order for each member and direction, as topics give them."""

    requested = Bundle("requested")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.points = PaperPoints()
        self.cup = CUP
        self.members: Sequence[str] = MEMBERS
        self.prepare()
        self.from_gateway: dict[str, deque[Told]] = {member: deque() for member in self.members}
        self.from_points: dict[str, deque[Told]] = {member: deque() for member in self.members}
        self.to_points: dict[str, deque[Announcement]] = {member: deque() for member in self.members}
        self.delivered: list[Told] = []
        self.said: list[Announcement] = []
        self.redemptions: dict[str, str] = {}
        self.quantities: dict[str, int] = {}
        self.ledger = Ledger()
        self.earned: dict[str, int] = {}
        self.total_max = 0

    def prepare(self) -> None:
        """Make what keeps sagas; another machine keeps them elsewhere."""
        self.store = MemoryStore()
        self.road = Road(FixedPrograms())

    @initialize(stock=st.integers(0, 5), balances=st.lists(st.integers(0, 6), min_size=3, max_size=3))
    def begin(self, stock: int, balances: list[int]) -> None:
        self.earned = {member: PRICE * n for member, n in zip(self.members, balances, strict=True)}
        self.points.balances = dict(self.earned)
        self._publish(stock)

    @rule(stock=st.integers(0, 5))
    def publish(self, stock: int) -> None:
        self._publish(stock)

    @rule(target=requested, who=WHO, quantity=st.integers(1, 3), later=st.booleans())
    def request(self, who: int, quantity: int, later: bool) -> Any:
        member = self.members[who]
        redemption = f"r-{len(self.redemptions)}"
        self.redemptions[redemption] = member
        self.quantities[redemption] = quantity
        told = redemption_requested(member, redemption, self.cup.reward, quantity=quantity, at=self.now, later=later)
        self.from_gateway[member].append(told)
        return multiple(redemption)

    @rule(redemption=requested)
    def confirm(self, redemption: str) -> None:
        member = self.redemptions[redemption]
        self.from_gateway[member].append(redemption_confirmed(member, redemption, at=self.now))

    @rule(redemption=requested, by=st.sampled_from(["member", "provider"]))
    def cancel(self, redemption: str, by: str) -> None:
        member = self.redemptions[redemption]
        self.from_gateway[member].append(redemption_cancelled(member, redemption, by, at=self.now))

    @precondition(lambda self: self.ledger.good)
    @rule(data=st.data(), till=st.sampled_from(["till-1", "till-2"]))
    def use_a_voucher(self, data: st.DataObject, till: str) -> None:
        voucher = data.draw(st.sampled_from(sorted(self.ledger.good)))
        self.from_gateway[self._owner(voucher)].append(voucher_used(self._owner(voucher), voucher, till, at=self.now))

    @precondition(lambda self: self.ledger.good | self.ledger.spent.keys())
    @rule(data=st.data(), till=st.sampled_from([None, "till-1", "till-2"]))
    def void_a_voucher(self, data: st.DataObject, till: str | None) -> None:
        voucher = data.draw(st.sampled_from(sorted(self.ledger.good | self.ledger.spent.keys())))
        told = voucher_voided(self._owner(voucher), voucher, till, at=self.now)
        self.from_gateway[self._owner(voucher)].append(told)

    def _owner(self, voucher: str) -> str:
        return next(key.member for key in self.vouchers() if key.voucher == voucher)

    @rule(picks=st.lists(st.tuples(st.booleans(), WHO), min_size=1, max_size=6))
    def redemption_works(self, picks: list[tuple[bool, int]]) -> None:
        batch = []
        for from_points, who in picks:
            queue = (self.from_points if from_points else self.from_gateway)[self.members[who]]
            if queue:
                batch.append(queue.popleft())
        self._hear(batch)
        self.delivered.extend(batch)

    @rule(who=WHO)
    def points_work(self, who: int) -> None:
        member = self.members[who]
        if self.to_points[member]:
            asked = self.to_points[member].popleft()
            self.from_points[member].extend(self.points.answer(asked))

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def something_comes_again(self, data: st.DataObject) -> None:
        self._hear([data.draw(st.sampled_from(self.delivered))])

    @rule(minutes=st.integers(1, 20))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def timer_runs(self) -> None:
        self._take(self.run_due())

    @invariant()
    def stock_is_what_sagas_have(self) -> None:
        stock = self.stock()
        if stock is None:
            return
        counted: Counter[SagaState] = Counter()
        for saga in self.sagas().values():
            if saga.counted:
                counted[saga.state] += saga.quantity
        assert stock.reserved == counted[SagaState.HOLDING]
        assert stock.taken == counted[SagaState.FULFILLED]
        assert stock.reserved + stock.taken <= self.total_max
        assert set(counted) <= {SagaState.HOLDING, SagaState.FULFILLED}

    @invariant()
    def every_saga_ends_at_most_once(self) -> None:
        first = Counter(
            key
            for key, facts in self.decided()
            for fact in facts
            if type(fact).__name__ in {"RedemptionFulfilled", "RedemptionRefused"}
            # What is cancelled is neither refused afterwards nor fulfilled; `Ledger` sees to that.
        )
        assert not first or max(first.values()) == 1

    def teardown(self) -> None:
        """Let everything that is under way arrive; then nothing may be open, and all must add up."""
        self._arrive()
        # What nobody has confirmed by now ends.
        self.now += timedelta(minutes=15)
        self.timer_runs()
        self._arrive()
        for saga in self.sagas().values():
            assert not saga.open, saga
        assert len(self.sagas()) == len(self.redemptions)
        self._ledger_agrees()
        self._points_add_up()
        self._decisions_fold_back()
        self._ends_have_one_wording()

    def _arrive(self) -> None:
        while self._anything_under_way():
            for who in range(len(self.members)):
                self.points_work(who)
                self.redemption_works([(False, who), (True, who)])

    def _points_add_up(self) -> None:
        spent: Counter[str] = Counter()
        for key, saga in self.sagas().items():
            hold = self.points.holds.get((key.member, key.redemption), ("none", 0))[0]
            assert (saga.state is SagaState.FULFILLED) == (hold == "captured")
            assert hold != "cancelled" or saga.state is SagaState.CANCELLED
            assert (saga.hold is HoldState.CAPTURED) == (hold == "captured")
            assert hold != "held"
            if hold == "captured":
                spent[key.member] += saga.points
        for member in self.members:
            assert self.points.balances[member] == self.earned[member] - spent[member]

    def _ledger_agrees(self) -> None:
        """What was said, read without knowing sagas, is what stock, points and vouchers have come to."""
        ledger = self.ledger
        kept = ledger.had - ledger.cancelled
        assert kept | ledger.refused | ledger.cancelled == self.redemptions.keys(), "each has come to one end"
        stock = self.stock()
        assert stock is not None
        assert (stock.reserved, stock.taken) == (0, sum(self.quantities[each] for each in kept))
        for member in self.members:
            spent = sum(self.quantities[each] for each in kept if self.redemptions[each] == member)
            assert self.points.balances[member] == self.earned[member] - PRICE * spent
        for voucher in self.vouchers().values():
            name = voucher.key.voucher
            assert (voucher.state is VoucherState.SPENT) == (name in ledger.spent)
            assert (voucher.state is VoucherState.ISSUED) == (name in ledger.good)
            assert voucher.redemption in kept or voucher.state is VoucherState.VOID

    def _decisions_fold_back(self) -> None:
        folded = State()
        # A saga's vouchers begin as issued: what follows is decided of each of them.
        for key, voucher in self.store.state.vouchers.items():
            folded.vouchers[key] = replace(voucher, state=VoucherState.ISSUED, remaining=voucher.value, uses={})
        for decision in self.store.decisions:
            for fact in decode_facts(encode_facts(decision.facts)):
                folded.apply(decision.program, decision.key, fact)
        assert folded.stock == self.store.state.stock
        ended = {key: (saga.state, saga.hold, saga.code) for key, saga in self.store.state.sagas.items()}
        assert {key: (saga.state, saga.hold, saga.code) for key, saga in folded.sagas.items()} == ended
        assert folded.vouchers == self.store.state.vouchers

    def _ends_have_one_wording(self) -> None:
        outcomes = Counter((said.type, said.body) for said in self.said if said.type in ENDS)
        first = len(self.ledger.had) + len(self.ledger.refused) + len(self.ledger.cancelled)
        assert len(outcomes) == first, "each end has one wording, however often it is said"

    def _publish(self, stock: int) -> None:
        self.total_max = max(self.total_max, stock)
        self._hear([reward_published(self.cup.reward, stock=stock, price=PRICE, at=self.now)])

    def _hear(self, batch: list[Told]) -> None:
        self._take(self.hear(batch))

    # What keeps sagas. -----------------------------------------------------------------------------------------

    def hear(self, batch: list[Told]) -> list[Announcement]:
        """Have a batch answered."""
        return finish(self.road.run(self.store, batch))

    def run_due(self) -> list[Announcement]:
        """Have the waits ended that are over."""
        due = [
            TimeIsUp(program=key.program, member=key.member, redemption=key.redemption, at=saga.waits_until)
            for key, saga in self.sagas().items()
            if saga.waits_until is not None and saga.waits_until <= self.now
        ]
        return finish(self.road.run_due(self.store, due))

    def sagas(self) -> dict[SagaKey, Saga]:
        """Return all of them."""
        return self.store.state.sagas

    def stock(self) -> Stock | None:
        """Return how many cups there are; None before they were ever offered."""
        return self.store.state.stock.get(self.cup)

    def vouchers(self) -> dict[VoucherKey, Voucher]:
        """Return all of them."""
        return self.store.state.vouchers

    def decided(self) -> list[tuple[Any, Sequence[Any]]]:
        """Return what was decided about each, in its order."""
        return [(decision.key, decision.facts) for decision in self.store.decisions]

    # -----------------------------------------------------------------------------------------------------------

    def _take(self, said: list[Announcement]) -> None:
        self.said.extend(said)
        for each in said:
            self.ledger.hear(each)
            if each.type.startswith("hold."):
                self.to_points[each.member].append(each)

    def _anything_under_way(self) -> bool:
        ways = (self.from_gateway, self.from_points, self.to_points)
        return any(queue for queues in ways for queue in queues.values())
