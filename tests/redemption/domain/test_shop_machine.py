"""A shop with everything of which there is only so much, against a clerk who keeps nothing but a list of what stands.

The clerk has no counters: what is left of pieces, seats, limits and keys is counted anew, each time, over the
redemptions that were neither refused nor cancelled. Points answer late, partners later, and terms change with notice.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from laurel.contracts.asking import MemberStands, PayAsked, SegmentAsked
from laurel.contracts.fulfilment import Fulfilment
from laurel.contracts.rewards import AmountPrice, ChartRow, DayRange, Money, PayTerms, RewardLimit
from services.redemption.domain.heard import PartnerAnswered, Share, TimeIsUp
from services.redemption.domain.moment import ProgramTerms
from services.redemption.domain.state import RewardKey, SagaKey, SagaState
from services.redemption.ports import Announcement
from services.redemption.road import Road
from services.redemption.testing import (
    PROGRAM,
    FixedPrograms,
    MemoryStore,
    PaperPoints,
    Told,
    finish,
    points_restored,
    redemption_cancelled,
    redemption_confirmed,
    redemption_requested,
    resource_published,
    reward_published,
)

ZONE = ZoneInfo("America/New_York")
# Clocks go forward that night, so the local day has 23 hours.
OPENING = datetime(2036, 3, 9, 3, 30, tzinfo=ZoneInfo("UTC"))
MEMBERS = ("m-1", "m-2", "m-3")
PERSONS = {"m-1": "p-1", "m-2": "p-1", "m-3": None}
WHO = st.sampled_from(MEMBERS)
FEW = st.sampled_from([1, 1, 1, 2, 3])
DAYS = (date(2036, 12, 18), date(2036, 12, 19), date(2036, 12, 20), date(2037, 1, 3), date(2037, 1, 4))
DARK = DAYS[2:4]
SEATS = {"out": 80, "home": 120}
QUARTER = timedelta(minutes=15)
FILMS = 4
VINS = st.sampled_from(["v-1", "v-2", "v-3", "v-4"])
BASE: dict[str, Any] = {"kind": "product", "stock": None, "value": None, "valid_days": None}
AWARD = {**BASE, "kind": "award_ticket", "segments": True, "price": 0}


@dataclass
class Deed:
    """A redemption as the clerk writes it down."""

    member: str
    reward: str
    pieces: int
    price: int
    at: datetime
    later: bool = False
    vin: str = ""
    seats: tuple[tuple[str, date], ...] = ()
    state: str = "asked"
    paid: int = 0

    @property
    def stands(self) -> bool:
        return self.state not in {"refused", "cancelled"}


@dataclass
class Clerk:
    """Counts over the list."""

    deeds: dict[str, Deed] = field(default_factory=dict)
    mugs: list[tuple[datetime, int, int]] = field(default_factory=list)
    """Since when there are so many mugs, at what price."""

    def of(self, reward: str) -> list[Deed]:
        return [each for each in self.deeds.values() if each.stands and each.reward == reward]

    def mug(self, at: datetime) -> tuple[int, int]:
        _, stock, price = [each for each in self.mugs if each[0] <= at][-1]
        return stock, price

    def reasons(self, new: Deed, *, dark: bool) -> set[str]:
        """Say what stands in the way, but for points."""
        found = set()
        mine = [each for each in self.of(new.reward) if each.member == new.member]
        if new.reward == "mug":
            if sum(each.pieces for each in self.of("mug")) + new.pieces > self.mug(new.at)[0]:
                found.add("sold_out")
            today = [each for each in mine if _local(each.at) == _local(new.at)]
            if sum(each.pieces for each in today) + new.pieces > 3:
                found.add("limit_reached")
        if new.reward == "film":
            if len(self.of("film")) >= FILMS:
                found.add("sold_out")
            if len(mine) >= 2:
                found.add("limit_reached")
        if new.reward == "coupon":
            person = PERSONS[new.member]
            same = [e for e in self.of("coupon") if e.member == new.member or (person and PERSONS[e.member] == person)]
            if sum(each.pieces for each in same) + new.pieces > 1:
                found.add("limit_reached")
        if new.reward == "car" and any(each.vin == new.vin for each in self.of("car")):
            found.add("key_used")
        for seat in new.seats:
            taken = sum(each.pieces for each in self.of("trip") if seat in each.seats)
            if taken + new.pieces > SEATS[seat[0]] // 20:
                found.add("sold_out")
        return found | ({"blacked_out"} if dark else set())


def _local(at: datetime) -> date:
    return at.astimezone(ZONE).date()


class Shop(RuleBasedStateMachine):
    """Asks are decided at once; what points and partners say comes when it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = OPENING
        self.store = MemoryStore()
        self.road = Road(FixedPrograms(ProgramTerms(zone="America/New_York", share=Share(percent=5))))
        self.points = PaperPoints()
        self.clerk = Clerk()
        self.to_points: dict[str, deque[Announcement]] = {member: deque() for member in MEMBERS}
        self.from_points: dict[str, deque[Told]] = {member: deque() for member in MEMBERS}
        self.earned: dict[str, int] = {}

    @initialize(points=st.lists(st.integers(100, 4_000), min_size=3, max_size=3), mugs=st.integers(0, 12))
    def open(self, points: list[int], mugs: int) -> None:
        self.earned = dict(zip(MEMBERS, points, strict=True))
        self.points.balances = dict(self.earned)
        self._offer_mugs(mugs, 100, None)
        once = RewardLimit(limit="once", per="lifetime", of="person", times=1)
        self._publish("coupon", **{**BASE, "kind": "voucher", "value": Money(amount=3, currency="USD")},
                      price=0, free=True, limits=[once])  # fmt: skip
        self._publish("car", **BASE, price=0, by_amount=AmountPrice(points=4, per=5, currency="USD"),
                      pay=PayTerms(cash=True, most=True, least=50), attributes={"vin": "text"}, key="vin")  # fmt: skip
        winter = DayRange.model_validate({"from": "12-20", "until": "01-03"})
        early = DayRange.model_validate({"from": "12-01", "until": "12-31"})
        self._publish("trip", **AWARD, blackouts=[winter], seasons={"high": [early]},
                      chart=[ChartRow(season="high", price=70), ChartRow(price=50)])  # fmt: skip
        door = Fulfilment(url="https://film.example/fulfil")
        twice = RewardLimit(limit="twice", per="calendar_year", times=2)
        self._publish("film", **{**BASE, "stock": FILMS}, price=90, fulfilment=door, limits=[twice])
        for resource, capacity in SEATS.items():
            self._hear(resource_published(resource, capacity, at=self.now))

    # What callers ask. -----------------------------------------------------------------------------------------

    @rule(who=WHO, quantity=FEW, party=FEW, later=st.booleans())
    def mug(self, who: str, quantity: int, party: int, later: bool) -> None:
        pieces = quantity * party
        price = self.clerk.mug(self.now)[1] * pieces
        self._ask(Deed(who, "mug", pieces, price, self.now, later), quantity=quantity, party=party)

    @rule(who=WHO, party=st.sampled_from([1, 1, 2]), later=st.booleans())
    def coupon(self, who: str, party: int, later: bool) -> None:
        self._ask(Deed(who, "coupon", party, 0, self.now, later), party=party)

    @rule(
        who=WHO,
        vin=st.sampled_from(["v-1", "v-2", "v-3", "v-4"]),
        amount=st.integers(100, 2_000),
        wish=st.integers(0, 3),
    )
    def car(self, who: str, vin: str, amount: int, wish: int) -> None:
        price = -(-amount * 4 // 5)
        cash = amount // 3
        pay = (None, PayAsked(all_points=True), PayAsked(cash=Money(amount=cash, currency="USD")), PayAsked(points=60))
        more: dict[str, Any] = {"amount": amount, "currency": "USD", "pay": pay[wish], "attributes": {"vin": vin}}
        self._ask(Deed(who, "car", 1, price, self.now, vin=vin), **more)

    @rule(
        who=WHO, party=FEW, days=st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)), first=st.booleans(),
    )  # fmt: skip
    def trip(self, who: str, party: int, days: tuple[date, date], first: bool) -> None:
        seats = (("out", days[0]), ("home", days[1]))
        named = [SegmentAsked(resource=resource, on=day) for resource, day in (seats if first else seats[::-1])]
        price = (70 if min(days).month == 12 else 50) * party
        deed = Deed(who, "trip", party, price, self.now, seats=seats)
        self._ask(deed, dark=bool(set(days) & set(DARK)), segments=named, party=party)

    @rule(who=WHO, later=st.booleans())
    def film(self, who: str, later: bool) -> None:
        self._ask(Deed(who, "film", 1, 90, self.now, later))

    @precondition(lambda self: self.clerk.deeds)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        name, deed = self._some(data)
        said = self._hear(redemption_confirmed(deed.member, name, at=self.now))
        if deed.state == "held" and self.now >= deed.at + QUARTER:
            assert self._end(said) == "refused"
        elif deed.state == "held":
            assert self._end(said) == ("fulfilling" if deed.reward == "film" else "fulfilled")
        else:
            assert [each.type for each in said] == ["redemption.ask_refused.v1"]

    @precondition(lambda self: self.clerk.deeds)
    @rule(data=st.data(), by=st.sampled_from(["member", "provider"]))
    def cancel(self, data: st.DataObject, by: str) -> None:
        self._cancel(*self._some(data), by)

    @precondition(lambda self: self._fulfilling())
    @rule(data=st.data())
    def cancel_what_a_partner_is_asked_for(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self._fulfilling()))
        self._cancel(name, self.clerk.deeds[name], "member")

    def _cancel(self, name: str, deed: Deed, by: str) -> None:
        before = deed.state
        over = before in {"asked", "held"} and self.now >= deed.at + QUARTER
        said = self._hear(redemption_cancelled(deed.member, name, by, at=self.now))
        if before == "refused" or over:
            assert [each.type for each in said][-1] == "redemption.ask_refused.v1"
            if over:
                deed.state = "refused"
        elif before in {"asked", "held", "fulfilled"}:
            deed.state = "cancelled"
        elif before == "fulfilling":
            deed.state = "cancelling"

    # What comes by itself. -------------------------------------------------------------------------------------

    @rule(who=WHO)
    def points_work(self, who: str) -> None:
        if self.to_points[who]:
            self.from_points[who].extend(self.points.answer(self.to_points[who].popleft()))

    @rule()
    def everybody_works(self) -> None:
        for member in MEMBERS:
            self.points_work(member)
            self.points_are_heard(member)

    @rule(who=WHO)
    def points_are_heard(self, who: str) -> None:
        if self.from_points[who]:
            told = self.from_points[who].popleft()
            name = msgspec.json.decode(told.body).get("hold")
            deed = self.clerk.deeds[name]
            over = deed.state == "asked" and datetime.fromisoformat(msgspec.json.decode(told.body)["at"]) >= (
                deed.at + QUARTER
            )
            said = self._hear(told)
            if deed.state != "asked":
                return
            if over or told.type == "points.hold_refused.v1":
                assert self._end(said) == "refused"
            else:
                deed.paid = msgspec.json.decode(told.body)["amount"]
                assert deed.paid <= deed.price
                deed.state = "held" if deed.later else "fulfilling" if deed.reward == "film" else "fulfilled"
                assert self._end(said) == deed.state

    @precondition(lambda self: self._fulfilling())
    @rule(data=st.data(), fulfilled=st.booleans())
    def the_partner_answers(self, data: st.DataObject, fulfilled: bool) -> None:
        name = data.draw(st.sampled_from(self._fulfilling()))
        deed = self.clerk.deeds[name]
        answer = PartnerAnswered(
            program=PROGRAM, member=deed.member, redemption=name, at=self.now, fulfilled=fulfilled,
            code="" if fulfilled else "no_film",
        )  # fmt: skip
        self._take(finish(self.road.run_due(self.store, [answer])))
        if not fulfilled:
            deed.state = "refused"
        else:
            deed.state = "cancelled" if deed.state == "cancelling" else "fulfilled"

    @rule(data=st.data())
    def all_its_points_come_back_with_a_return(self, data: st.DataObject) -> None:
        captured = sorted(
            name
            for (member, name), (state, _) in self.points.holds.items()
            if state == "captured" and self.clerk.deeds[name].state == "fulfilled" and not self._under_way(member)
        )
        if not captured:
            return
        name = data.draw(st.sampled_from(captured))
        deed = self.clerk.deeds[name]
        amount = self.points.holds[deed.member, name][1]
        self.points.holds[deed.member, name] = ("cancelled", amount)
        self.points.balances[deed.member] += amount
        self._hear(points_restored(deed.member, name, amount, by="provider", by_return="x-1", left=0, at=self.now))
        deed.state = "cancelled"

    @rule(minutes=st.sampled_from([1, 1, 1, 7, 14, 15, 60, 600]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def timer_runs(self) -> None:
        due = [
            TimeIsUp(program=PROGRAM, member=key.member, redemption=key.redemption, at=saga.waits_until)
            for key, saga in self.store.state.sagas.items()
            if saga.waits_until is not None and saga.waits_until <= self.now
        ]
        self._take(finish(self.road.run_due(self.store, due)))
        for deed in self.clerk.deeds.values():
            if deed.state in {"asked", "held"} and deed.at + QUARTER <= self.now:
                deed.state = "refused"

    @rule(stock=st.integers(0, 12), price=st.sampled_from([80, 100, 120]), days=st.integers(0, 3))
    def mugs_change_with_notice(self, stock: int, price: int, days: int) -> None:
        self._offer_mugs(stock, price, self.now + timedelta(days=days) if days else None)

    # What must be so. ------------------------------------------------------------------------------------------

    @invariant()
    def sagas_are_what_the_clerk_has(self) -> None:
        shown = {
            SagaState.HOLDING: {"asked", "held"},
            SagaState.FULFILLING: {"fulfilling", "cancelling"},
            SagaState.FULFILLED: {"fulfilled"},
            SagaState.REFUSED: {"refused"},
            SagaState.CANCELLED: {"cancelled"},
        }
        for name, deed in self.clerk.deeds.items():
            saga = self.store.state.sagas[SagaKey(PROGRAM, deed.member, name)]
            assert deed.state in shown[saga.state], (name, deed, saga)

    @invariant()
    def stock_is_what_stands(self) -> None:
        for reward in ("mug", "film"):
            stock = self.store.state.stock.get(RewardKey(PROGRAM, reward))
            if stock is not None:
                assert stock.reserved + stock.taken == sum(each.pieces for each in self.clerk.of(reward))

    @invariant()
    def what_is_in_use_is_what_stands(self) -> None:
        used = sum(self.store.state.tallies.values())
        drawn = {"mug": 1, "coupon": 1, "car": 1, "trip": 2, "film": 1}
        assert used == sum(each.pieces * drawn[each.reward] for each in self.clerk.deeds.values() if each.stands)

    def teardown(self) -> None:
        while any(self.to_points.values()) or any(self.from_points.values()):
            for member in MEMBERS:
                self.points_work(member)
                self.points_are_heard(member)
        for member in MEMBERS:
            kept = [each for each in self.clerk.deeds.values() if each.member == member and each.stands]
            assert self.points.balances.get(member, 0) == self.earned.get(member, 0) - sum(each.paid for each in kept)
        for name, deed in self.clerk.deeds.items():
            made = [v for v in self.store.state.vouchers.values() if v.redemption == name]
            good = [each for each in made if str(each.state) == "issued"]
            assert len(good) == (deed.pieces if deed.reward == "coupon" and deed.state == "fulfilled" else 0)

    # -----------------------------------------------------------------------------------------------------------

    def _ask(self, deed: Deed, *, dark: bool = False, **wish: Any) -> None:
        name = f"r-{len(self.clerk.deeds)}"
        expected = self.clerk.reasons(deed, dark=dark)
        self.clerk.deeds[name] = deed
        stands = MemberStands(person=PERSONS[deed.member])
        told = redemption_requested(
            deed.member, name, deed.reward, at=self.now, later=deed.later, stands=stands, **{"quantity": 1, **wish}
        )
        said = self._hear(told)
        ends = [msgspec.json.decode(each.body)["code"] for each in said if each.type == "redemption.refused.v1"]
        if expected:
            assert ends, f"{deed} should be refused as {expected}"
            assert ends[0] in expected
            deed.state = "refused"
            return
        if ends and deed.reward == "car":
            assert ends == ["below_minimum"]
            deed.state = "refused"
            return
        assert not ends, f"{deed} was refused as {ends}"
        if deed.price == 0:
            deed.state = "held" if deed.later else "fulfilled"
        else:
            (asked,) = [msgspec.json.decode(each.body) for each in said if each.type == "hold.requested.v1"]
            assert asked["amount"] <= deed.price
            assert asked["amount"] == deed.price or deed.reward == "car"

    def _some(self, data: st.DataObject) -> tuple[str, Deed]:
        name = data.draw(st.sampled_from(sorted(self.clerk.deeds)))
        deed = self.clerk.deeds[name]
        return name, deed

    def _end(self, said: list[Announcement]) -> str:
        """Return what was said of how a redemption stands, and write it down."""
        (told,) = [each for each in said if each.type.startswith("redemption.")]
        name = msgspec.json.decode(told.body)["redemption"]
        state = told.type.split(".")[1]
        self.clerk.deeds[name].state = state
        return state

    def _fulfilling(self) -> list[str]:
        return sorted(n for n, each in self.clerk.deeds.items() if each.state in {"fulfilling", "cancelling"})

    def _under_way(self, member: str) -> bool:
        return bool(self.to_points[member] or self.from_points[member])

    def _offer_mugs(self, stock: int, price: int, since: datetime | None) -> None:
        a_day = RewardLimit(limit="a-day", per="day", times=3)
        self._publish("mug", **{**BASE, "stock": stock}, price=price, limits=[a_day], effective_from=since)
        # Where two count, the one that was published last does.
        since = since or datetime.min.replace(tzinfo=ZoneInfo("UTC"))
        self.clerk.mugs = [each for each in self.clerk.mugs if each[0] < since] + [(since, stock, price)]

    def _publish(self, reward: str, **terms: Any) -> None:
        self._hear(reward_published(reward, at=self.now, **terms))

    def _hear(self, told: Told) -> list[Announcement]:
        return self._take(finish(self.road.run(self.store, [told])))

    def _take(self, said: list[Announcement]) -> list[Announcement]:
        for each in said:
            if each.type.startswith("hold."):
                self.to_points[each.member].append(each)
        return said


Shop.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestShop = Shop.TestCase
