"""Sagas, stock and points in every order that queues, repeats and timers allow."""

from __future__ import annotations

from collections import Counter, deque
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from services.redemption.domain.facts import decode_facts, encode_facts
from services.redemption.domain.heard import TimeIsUp
from services.redemption.domain.state import HoldState, RewardKey, SagaState, State
from services.redemption.ports import Announcement
from services.redemption.road import Road
from services.redemption.testing import (
    NOON,
    PROGRAM,
    FixedPrograms,
    MemoryStore,
    PaperPoints,
    Told,
    finish,
    redemption_requested,
    reward_published,
)

CUP = RewardKey(PROGRAM, "cup")
PRICE = 100
MEMBERS = ("m-1", "m-2", "m-3")
OUTCOMES = {"redemption.fulfilled.v1", "redemption.refused.v1"}


class Races(RuleBasedStateMachine):
    """Redemption and points, with a queue in order for each member and direction, as topics give them."""

    requested = Bundle("requested")

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.store = MemoryStore()
        self.road = Road(FixedPrograms())
        self.points = PaperPoints()
        self.from_gateway: dict[str, deque[Told]] = {member: deque() for member in MEMBERS}
        self.from_points: dict[str, deque[Told]] = {member: deque() for member in MEMBERS}
        self.to_points: dict[str, deque[Announcement]] = {member: deque() for member in MEMBERS}
        self.delivered: list[Told] = []
        self.said: list[Announcement] = []
        self.redemptions: dict[str, str] = {}
        self.earned: dict[str, int] = {}
        self.total_max = 0

    @initialize(stock=st.integers(0, 5), balances=st.lists(st.integers(0, 6), min_size=3, max_size=3))
    def begin(self, stock: int, balances: list[int]) -> None:
        self.earned = {member: PRICE * n for member, n in zip(MEMBERS, balances, strict=True)}
        self.points.balances = dict(self.earned)
        self._publish(stock)

    @rule(stock=st.integers(0, 5))
    def publish(self, stock: int) -> None:
        self._publish(stock)

    @rule(target=requested, member=st.sampled_from(MEMBERS), quantity=st.integers(1, 3))
    def request(self, member: str, quantity: int) -> Any:
        redemption = f"r-{len(self.redemptions)}"
        self.redemptions[redemption] = member
        told = redemption_requested(member, redemption, quantity=quantity, at=self.now)
        self.from_gateway[member].append(told)
        return multiple(redemption)

    @rule(picks=st.lists(st.tuples(st.booleans(), st.sampled_from(MEMBERS)), min_size=1, max_size=6))
    def redemption_works(self, picks: list[tuple[bool, str]]) -> None:
        batch = []
        for from_points, member in picks:
            queue = (self.from_points if from_points else self.from_gateway)[member]
            if queue:
                batch.append(queue.popleft())
        self._hear(batch)
        self.delivered.extend(batch)

    @rule(member=st.sampled_from(MEMBERS))
    def points_work(self, member: str) -> None:
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
        due = [
            TimeIsUp(program=key.program, member=key.member, redemption=key.redemption, at=saga.waits_until)
            for key, saga in self.store.state.sagas.items()
            if saga.waits_until is not None and saga.waits_until <= self.now
        ]
        self._take(finish(self.road.run_due(self.store, due)))

    @invariant()
    def stock_is_what_sagas_have(self) -> None:
        if CUP not in self.store.state.stock:
            return
        stock = self.store.state.stock[CUP]
        counted: Counter[SagaState] = Counter()
        for saga in self.store.state.sagas.values():
            if saga.counted:
                counted[saga.state] += saga.quantity
        assert stock.reserved == counted[SagaState.HOLDING]
        assert stock.taken == counted[SagaState.FULFILLED]
        assert stock.reserved + stock.taken <= self.total_max
        assert set(counted) <= {SagaState.HOLDING, SagaState.FULFILLED}

    @invariant()
    def every_saga_ends_at_most_once(self) -> None:
        first = Counter(
            decision.key
            for decision in self.store.decisions
            for fact in decision.facts
            if type(fact).__name__ in {"RedemptionFulfilled", "RedemptionRefused"}
        )
        assert not first or max(first.values()) == 1

    def teardown(self) -> None:
        """Let everything that is under way arrive; then nothing may be open, and all must add up."""
        while self._anything_under_way():
            for member in MEMBERS:
                self.points_work(member)
                self.redemption_works([(False, member), (True, member)])
        for saga in self.store.state.sagas.values():
            assert not saga.open, saga
        assert len(self.store.state.sagas) == len(self.redemptions)
        self._points_add_up()
        self._decisions_fold_back()

    def _points_add_up(self) -> None:
        spent: Counter[str] = Counter()
        for key, saga in self.store.state.sagas.items():
            hold = self.points.holds.get((key.member, key.redemption), ("none", 0))[0]
            assert (saga.state is SagaState.FULFILLED) == (hold == "captured")
            assert (saga.hold is HoldState.CAPTURED) == (hold == "captured")
            assert hold != "held"
            if hold == "captured":
                spent[key.member] += saga.points
        for member in MEMBERS:
            assert self.points.balances[member] == self.earned[member] - spent[member]

    def _decisions_fold_back(self) -> None:
        folded = State()
        for decision in self.store.decisions:
            for fact in decode_facts(encode_facts(decision.facts)):
                folded.apply(decision.program, decision.key, fact)
        assert folded.stock == self.store.state.stock
        ended = {key: (saga.state, saga.hold, saga.code) for key, saga in self.store.state.sagas.items()}
        assert {key: (saga.state, saga.hold, saga.code) for key, saga in folded.sagas.items()} == ended
        outcomes = Counter(said.body for said in self.said if said.type in OUTCOMES)
        assert len(outcomes) == len(self.redemptions), "one outcome for each, however often it is said"

    def _publish(self, stock: int) -> None:
        self.total_max = max(self.total_max, stock)
        self._hear([reward_published(stock=stock, price=PRICE, at=self.now)])

    def _hear(self, batch: list[Told]) -> None:
        self._take(finish(self.road.run(self.store, batch)))

    def _take(self, said: list[Announcement]) -> None:
        self.said.extend(said)
        for each in said:
            if each.type.startswith("hold."):
                self.to_points[each.member].append(each)

    def _anything_under_way(self) -> bool:
        ways = (self.from_gateway, self.from_points, self.to_points)
        return any(queue for queues in ways for queue in queues.values())


TestRaces = Races.TestCase
TestRaces.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
