"""Random lives of vouchers against a small model that knows nothing of facts: uses, parts, undoing, ends, repeats.

The model keeps one sum for each use that stands and whether the voucher is dead or over; all else follows from those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from laurel.contracts.vouchers import VoucherTerms, VoucherWorth
from services.redemption.domain.heard import VoucherEnds
from services.redemption.domain.vouchers import VoucherKey
from services.redemption.testing import NOON, PROGRAM, Told, finish, points_returned, voucher_used, voucher_voided
from tests.redemption.domain.till import Till

DAYS = 30
TILLS = st.sampled_from(["a", "b"])
PARTNERS = st.sampled_from(["acme", "acme", "acme", "bakery"])
# Most lives are long: what is over or dead early has little to tell.
LATE = st.integers(0, 9).map(lambda number: number == 9)


@dataclass
class Model:
    """What a person at a desk would write down. `paid`: by whom and for what; `back`: what returns restored of it."""

    value: int
    parts: bool
    bound: bool
    paid: dict[tuple[str, str], int] = field(default_factory=dict)
    back: dict[tuple[str, str], int] = field(default_factory=dict)
    upto: dict[tuple[str, str], int] = field(default_factory=dict)
    shares: int = 0
    is_dead: bool = False
    is_over: bool = False

    @property
    def rest(self) -> int:
        return self.value - sum(self.paid.values()) + sum(self.back.values())

    @property
    def state(self) -> str:
        if self.is_dead:
            return "void"
        if self.is_over:
            return "expired"
        return "spent" if self.rest == 0 else "issued"

    def use(self, who: tuple[str, str], amount: int | None, basket: int, *, late: bool) -> str:
        if who in self.paid:
            return "redeemed"
        if self.state in {"spent", "void"}:
            return f"voucher_{self.state}"
        if self.is_over or late:
            return "voucher_expired"
        wanted = self.rest if amount is None else amount
        if wanted > self.rest:
            return "voucher_insufficient"
        if self.bound and wanted > basket:
            return "voucher_exceeds_basket"
        self.paid[who] = wanted
        return "redeemed"

    def forget(self, who: tuple[str, str]) -> None:
        for book in (self.paid, self.back, self.upto):
            book.pop(who, None)

    def undo(self, who: tuple[str, str], *, late: bool) -> str:
        if who in self.paid and self.upto.get(who) and not self.parts:
            return "over_returned"
        if who in self.paid and not self.is_dead:
            self.forget(who)
            return "undone"
        if self.state in {"spent", "void"}:
            return f"voucher_{self.state}"
        return "voucher_expired" if self.is_over or late else "voucher_unknown"

    def give_back(self, who: tuple[str, str], before: int, after: int, of: int) -> None:
        """Positions of a tender, in its own money; what was reached before is not reached again."""
        if who not in self.paid or self.is_dead or self.upto.get(who, 0) >= after:
            return
        if (before, after) == (0, of):
            self.forget(who)
            return
        part = (2 * self.paid[who] * after + of) // (2 * of) - (2 * self.paid[who] * before + of) // (2 * of)
        self.upto[who] = after
        if self.parts:
            self.back[who] = self.back.get(who, 0) + part
        else:
            self.shares += part


class Lives(RuleBasedStateMachine):
    """One voucher, many tills, and a clock that somebody may turn."""

    @initialize(value=st.integers(1, 500), parts=st.booleans(), bound=st.booleans())
    def issue(self, value: int, parts: bool, bound: bool) -> None:
        worth = VoucherWorth(amount=value, currency="GBP")
        self.till = Till(VoucherTerms(value=worth, parts=parts, not_above_basket=bound, valid_days=DAYS))
        self.model = Model(value, parts, bound)
        self.last: list[Told] = []
        self.returns = 0
        self.positions: dict[tuple[str, str], int] = {}

    @property
    def ends(self) -> Any:
        return self.till.voucher.expires_at

    def at(self, *, late: bool) -> Any:
        return self.ends if late else NOON

    def hear(self, told: Told) -> list[str]:
        self.last.append(told)
        return [
            body.get("code", each.type.split(".")[1])
            for each in finish(self.till.road.run(self.till.store, [told]))
            for body in [msgspec.json.decode(each.body)]
        ]

    @rule(
        till=TILLS, partner=PARTNERS, amount=st.none() | st.integers(1, 60), basket=st.integers(0, 900),
        late=LATE,
    )  # fmt: skip
    def use(self, till: str, partner: str, amount: int | None, basket: int, late: bool) -> None:
        amount = amount if self.model.parts else None
        told = voucher_used(
            "m-1", self.till.key.voucher, till, partner=partner, amount=amount, basket=basket, at=self.at(late=late)
        )
        assert self.hear(told) == [self.model.use((partner, till), amount, basket, late=late)]

    @rule(till=TILLS, partner=PARTNERS, late=LATE)
    def undo(self, till: str, partner: str, late: bool) -> None:
        told = voucher_voided("m-1", self.till.key.voucher, till, partner=partner, at=self.at(late=late))
        who = (partner, till)
        if who not in self.model.paid:
            self.positions.pop(who, None)
        answer = self.model.undo(who, late=late)
        if answer == "undone":
            self.positions.pop(who, None)
        assert self.hear(told) == [answer]

    @rule(early=LATE)
    def kill(self, early: bool) -> None:
        if not early:
            return
        self.hear(voucher_voided("m-1", self.till.key.voucher))
        if self.model.state in {"issued", "void"}:
            self.model.is_dead = True

    @rule(early=LATE)
    def end(self, early: bool) -> None:
        if not early:
            return
        due = VoucherEnds(program=PROGRAM, member="m-1", voucher=self.till.key.voucher, at=self.ends)
        finish(self.till.road.run_due(self.till.store, [due]))
        self.model.is_over = self.model.is_over or self.model.state == "issued"

    @rule(till=TILLS, partner=PARTNERS, step=st.integers(1, 60), skipped=LATE)
    def give_back(self, till: str, partner: str, step: int, skipped: bool) -> None:
        """A return of so many hundredths of what the voucher helped to pay; one with `tenders: []` is passed over."""
        who = (partner, till)
        before = self.positions.get(who, 0)
        after = min(100, before + step)
        if who not in self.model.paid or after == before:
            return
        self.positions[who] = after
        if skipped:
            return
        self.returns += 1
        told = points_returned("m-1", f"r-{self.returns}", ("voucher", till, 100, before, after), partner=partner)
        self.model.give_back(who, before, after, 100)
        if who not in self.model.paid:
            del self.positions[who]
        self.hear(told)
        # Told again it changes nothing.
        self.hear(told)

    @invariant()
    def agree(self) -> None:
        voucher, model = self.till.voucher, self.model
        assert (str(voucher.state), voucher.remaining) == (model.state, model.rest)
        assert voucher.left == (model.rest if model.state == "issued" else 0)
        assert {tuple(key): use.amount for key, use in voucher.uses.items()} == model.paid
        shares = [each for each in self.till.store.state.vouchers.values() if each.share_of == self.till.key.voucher]
        assert sum(share.value or 0 for share in shares) == model.shares
        assert all(share.expires_at == voucher.expires_at for share in shares)

    def teardown(self) -> None:
        """Folding what was decided gives the same voucher again."""
        if not hasattr(self, "till"):
            return
        from services.redemption.domain.vouchers import issued, move

        (fact,) = [
            each
            for decision in self.till.store.decisions
            for each in decision.facts
            if type(each).__name__ == "VoucherIssued" and not each.share_of  # type: ignore[union-attr]
        ]
        folded = issued(self.till.key, fact, NOON)  # type: ignore[arg-type]
        for decision in self.till.store.decisions:
            if decision.key == self.till.key and isinstance(decision.key, VoucherKey):
                for each in decision.facts:
                    move(folded, each)  # type: ignore[arg-type]
                folded.step = decision.step
        assert folded == self.till.voucher
        assert self.ends > NOON + timedelta(days=DAYS - 1)


Lives.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLives = Lives.TestCase
