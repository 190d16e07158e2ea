"""Whatever happens in whatever order: totals, lots, holds and entries agree, and a refold gives the same wallet."""

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.points.domain.facts import PointsConverted, decode_facts, encode_facts
from services.points.domain.folding import fold
from services.points.domain.posting import entries
from services.points.domain.state import Wallet
from tests.points.till import Till, document

AMOUNTS = st.integers(min_value=0, max_value=20_000) | st.just(5_000)


class WalletMachine(RuleBasedStateMachine):
    """Buys, returns, holds, captures, releases, cancels, adjusts, corrects and lets time pass, on a wall clock."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.bought: dict[str, int] = {}
        self.open: list[str] = []
        self.timed: list[str] = []
        self.waiting: list[str] = []
        self.count = 0

    def teardown(self) -> None:
        self.loop.close()

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def name(self) -> str:
        self.count += 1
        return f"x-{self.count}"

    @initialize(days=st.integers(min_value=1, max_value=60))
    def enrol(self, days: int) -> None:
        units = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": days}}}
        self.till = Till(document("clubcard", units=units, clock="wall"))
        self.run(self.till.enrol())

    @rule(amount=AMOUNTS, packs=st.integers(min_value=0, max_value=3))
    def buy(self, amount: int, packs: int) -> None:
        name = self.name()
        lines = [{"id": "1", "sku": "x", "quantity": 2, "amount": amount}]
        if packs:
            lines.append({"id": "2", "sku": "pack-50", "quantity": packs, "amount": 400 * packs})
        total = amount + 400 * packs
        said = self.run(self.till.buy(name, total, lines=lines))
        assert said["type"] == "points.awarded.v1"
        assert sum(award["amount"] for award in said["awards"]) == total // 100 + 50 * packs
        self.bought[name] = packs

    @precondition(lambda self: self.bought)
    @rule(data=st.data())
    def give_back(self, data: Any) -> None:
        of = data.draw(st.sampled_from(sorted(self.bought)))
        line = data.draw(st.sampled_from(["all", "1", "2"]))
        extra: dict[str, Any] = {} if line == "all" else {"lines": [{"id": line, "quantity": 1}]}
        said = self.run(self.till.give_back(self.name(), of, **extra))
        assert said["type"] in {"points.clawed_back.v1", "activity.refused.v1"}
        if said["type"] == "activity.refused.v1":
            assert said["code"] == "over_returned"

    @rule(amount=st.integers(min_value=1, max_value=300))
    def hold(self, amount: int) -> None:
        name = self.name()
        said = self.run(self.till.hold(name, amount))
        if said[-1]["type"] == "points.held.v1":
            assert sum(lot["amount"] for lot in said[-1]["lots"]) == amount
            self.open.append(name)
        else:
            assert said[-1]["code"] == "insufficient_points"
            assert amount > self.till.balance.available

    @precondition(lambda self: self.open)
    @rule(capture=st.booleans())
    def end_hold(self, capture: bool) -> None:
        name = self.open.pop(0)
        self.run(self.till.capture(name) if capture else self.till.release(name))

    @rule(amount=st.integers(min_value=1, max_value=300), hours=st.integers(min_value=1, max_value=200))
    def hold_for_a_time(self, amount: int, hours: int) -> None:
        name = self.name()
        said = self.run(self.till.timed("requested", name, amount=amount, ttl_seconds=3600 * hours))
        if said[-1]["type"] == "points.held.v1":
            self.timed.append(name)

    @precondition(lambda self: self.timed)
    @rule(
        data=st.data(),
        deed=st.sampled_from(["capture", "release", "cancel"]),
        amount=st.none() | st.integers(min_value=1, max_value=300),
        by=st.sampled_from(["member", "provider"]),
    )
    def ask_of_hold(self, data: Any, deed: str, amount: int | None, by: str) -> None:
        name = data.draw(st.sampled_from(self.timed))
        before = self.till.wallet.holds[name].state
        fields = {} if deed == "release" else {"amount": amount}
        if deed == "cancel":
            fields["by"] = by  # type: ignore[assignment]
        said = self.run(self.till.timed(f"{deed}_requested", name, **fields))
        if before in {"released", "expired"}:
            assert said[-1]["code"] == f"hold_{before}"

    @rule(
        amount=st.integers(min_value=-400, max_value=400).filter(bool),
        reason=st.sampled_from(["goodwill", "correction"]),
    )
    def adjust(self, amount: int, reason: str) -> None:
        name = self.name()
        said = self.run(self.till.adjust(name, amount, reason=reason, limit=200))[-1]
        assert said["state"] == ("waiting" if abs(amount) > 200 else said["state"])
        if said["state"] == "waiting":
            self.waiting.append(name)

    @precondition(lambda self: self.waiting)
    @rule(approve=st.booleans())
    def decide(self, approve: bool) -> None:
        self.run(self.till.decide(self.waiting.pop(), approve=approve))

    @precondition(lambda self: self.bought)
    @rule(data=st.data(), should_be=st.integers(min_value=0, max_value=300), reported=st.booleans())
    def correct(self, data: Any, should_be: int, reported: bool) -> None:
        name = self.name()
        of = data.draw(st.sampled_from(sorted(self.bought)))
        by = "member" if reported else None
        said = self.run(self.till.correct(name, of, should_be, reported_by=by))[-1]
        assert said["type"] == "points.adjusted.v1" or said["code"] == "already_corrected"

    @precondition(lambda self: self.bought and self.till.balance.available)
    @rule(part=st.integers(min_value=1, max_value=4))
    def spend(self, part: int) -> None:
        name = self.name()
        amount = max(1, self.till.balance.available * part // 4)
        # What falls due first is gone by then, so the hold may come too late.
        if self.run(self.till.hold(name, amount))[-1]["type"] == "points.held.v1":
            self.run(self.till.capture(name))

    @rule(hours=st.integers(min_value=0, max_value=24 * 6) | st.just(24 * 45))
    def wait(self, hours: int) -> None:
        """Let hours pass, or so many weeks that a statement makes a voucher of what is there."""
        self.till.pass_time(hours=hours)

    @invariant()
    def totals_agree(self) -> None:
        if not hasattr(self, "till"):
            return
        wallet, balance = self.till.wallet, self.till.balance
        lots = list(wallet.lots.values())
        assert all(0 <= lot.held <= lot.remaining <= lot.granted for lot in lots)
        assert balance.available + balance.held == sum(lot.remaining for lot in lots)
        assert balance.held == sum(lot.held for lot in lots)
        assert balance.held == sum(hold.amount for hold in wallet.holds.values() if hold.state == "held")
        assert min(balance.available, balance.held, balance.owed) >= 0
        assert not (balance.owed and balance.available)
        assert balance.available + balance.held - balance.owed == (
            balance.earned - balance.spent - balance.expired - balance.reversed + balance.adjusted
        )

    @invariant()
    def entries_and_refold_agree(self) -> None:
        if not hasattr(self, "till"):
            return
        sums: dict[str, int] = {}
        folded = Wallet(self.till.program, self.till.member)
        converted = 0
        for journal in self.till.ledger.journals:
            for _, account, amount in entries(journal.facts):
                sums[account] = sums.get(account, 0) + amount
            for fact in decode_facts(encode_facts(journal.facts)):
                fold(folded, journal.number, fact)
                converted += fact.amount if isinstance(fact, PointsConverted) else 0
        balance = self.till.balance
        assert sums.get("available", 0) == balance.available
        assert sums.get("held", 0) == balance.held
        assert -sums.get("owed", 0) == balance.owed
        assert folded.balance("point") == balance
        assert folded.lots == self.till.wallet.lots
        assert folded.holds == self.till.wallet.holds
        assert folded.adjustments == self.till.wallet.adjustments
        assert sum(hold.captured for hold in folded.holds.values()) + converted == balance.spent
        assert sum(sums.values()) == 0


TestWalletMachine = WalletMachine.TestCase
TestWalletMachine.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
