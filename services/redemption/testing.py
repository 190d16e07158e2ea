"""Fakes and factories for tests: a store in memory, fixed programs, messages, and a points service on paper."""

# ruff: noqa: ANN401 - further fields of an event go through as they come

from __future__ import annotations

import itertools
from collections.abc import Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from laurel.codes import CHANCE_BYTES, code_of, suffix_of
from laurel.contracts import asking, points
from laurel.contracts.envelope import Cause, Versions
from laurel.contracts.rewards import Money, Resource, Reward
from laurel.shapes import encode
from services.redemption.domain.fulfilling import voucher_id
from services.redemption.domain.heard import ClockTurned
from services.redemption.domain.moment import Blank, ProgramTerms
from services.redemption.domain.state import ResourceKey, RewardKey, SagaKey, State, TallyKey
from services.redemption.domain.vouchers import UseKey, VoucherKey
from services.redemption.ports import Announcement, Decision, Needs, TurnWaits

PROGRAM = "grocery"
NOON = datetime(2036, 3, 14, 12, tzinfo=UTC)

T = TypeVar("T")


class MemoryStore:
    """Keeps one state for ever: what is loaded is simply there. Decisions pile up in `decisions`."""

    def __init__(self) -> None:
        self.state = State()
        self.decisions: list[Decision] = []
        self.turns: list[ClockTurned] = []
        self.waits: list[TurnWaits] = []
        self.forgotten: set[tuple[str, str]] = set()

    async def load(self, needs: Needs) -> State:
        """Return the whole state."""
        del needs
        return self.state

    async def load_drawn(self, state: State, tallies: set[TallyKey], resources: set[ResourceKey]) -> None:
        """Know everything already."""
        del state, tallies, resources

    def print_vouchers(
        self, key: SagaKey, reward: RewardKey, count: int, at: datetime, codes: Sequence[str] = (), *, of_pool: bool
    ) -> tuple[Blank, ...]:
        """Make the same codes each time."""
        del reward, at, codes, of_pool
        return tuple(
            Blank(voucher_id(key, number), suffix_of(code_of(number.to_bytes(CHANCE_BYTES, "little"))))
            for number in range(1, count + 1)
        )

    def print_voucher(self, key: VoucherKey) -> Blank:
        """Make the same code each time."""
        return Blank(key.voucher, suffix_of(code_of(bytes(CHANCE_BYTES))))

    async def codes_known(self, program: str, codes: Sequence[str]) -> bool:
        """Know none."""
        del program, codes
        return False

    async def uses_for(
        self, wanted: Collection[tuple[str, str, str]]
    ) -> Mapping[tuple[str, str, str], Sequence[VoucherKey]]:
        """Look through all vouchers."""
        return {
            (program, partner, reference): sorted(
                key
                for key, voucher in self.state.vouchers.items()
                if key.program == program and UseKey(partner, reference) in voucher.uses
            )
            for program, partner, reference in wanted
        }

    async def begin_turns(self, turns: Sequence[ClockTurned]) -> None:
        """Keep the turns."""
        self.turns.extend(turns)

    async def begin_waits(self, waits: Sequence[TurnWaits]) -> None:
        """Keep the waits."""
        self.waits.extend(waits)

    async def forget_members(self, members: Sequence[tuple[str, str]]) -> None:
        """Keep who is to be forgotten."""
        self.forgotten.update(members)

    async def write(self, decisions: Sequence[Decision], state: State) -> None:
        """Keep the decisions."""
        del state
        self.decisions.extend(decisions)


class FixedPrograms:
    """Knows every version of every program, all alike."""

    def __init__(self, terms: ProgramTerms | None = None) -> None:
        self._terms = terms or ProgramTerms()

    async def ensure(self, versions: Mapping[str, int]) -> None:
        """Know them all."""
        del versions

    def knows(self, program: str, version: int) -> bool:
        """Know it."""
        del program, version
        return True

    def terms(self, program: str, version: int) -> ProgramTerms:
        """Return the one answer."""
        del program, version
        return self._terms


@dataclass(slots=True)
class Told:
    """A message as a test tells it; `sequence` is filled in by whoever sends it."""

    type: str
    program: str
    member: str
    body: bytes
    source: str = "laurel/gateway/1"
    sequence: int = 0
    correlation: str = ""
    traceparent: str = ""

    @property
    def id(self) -> str:
        """Name the message as the relay would."""
        return f"1.{self.program}.{self.member}.{self.sequence}"


def reward_published(
    reward: str = "cup", *, stock: int | None = 7, price: int = 100, at: datetime = NOON, **terms: Any
) -> Told:
    """Ask for a reward to be offered."""
    document = Reward(
        name=terms.pop("name", "A cup"),
        kind=terms.pop("kind", "voucher"),
        unit=terms.pop("unit", "point"),
        price=price,
        stock=stock,
        value=terms.pop("value", Money(amount=250, currency="GBP")),
        valid_days=terms.pop("valid_days", 30),
        fulfilment=terms.pop("fulfilment", None),
        voucher=terms.pop("voucher", None),
        **{name: value for name, value in terms.items() if name in Reward.model_fields},
    )
    event = asking.RewardPublishRequested(
        program=terms.pop("program", PROGRAM),
        at=at,
        cause=Cause(kind="request", id=reward),
        reward=reward,
        document=document,
    )
    return _told(event, correlation=f"reward:{reward}")


def redemption_requested(
    member: str, redemption: str, reward: str = "cup", *, quantity: int = 1, at: datetime = NOON, **more: Any
) -> Told:
    """Ask for a reward."""
    event = asking.RedemptionRequested(
        program=more.pop("program", PROGRAM),
        member=member,
        at=at,
        cause=Cause(kind="request", id=redemption),
        redemption=redemption,
        partner=more.pop("partner", "acme"),
        hash=more.pop("hash", f"{reward} x{quantity}"),
        reward=reward,
        quantity=quantity,
        later=more.pop("later", False),
        versions=Versions(program=more.pop("version", 1), as_of=more.pop("as_of", None)),
        **{name: more.pop(name) for name in list(more) if name in asking.RedemptionRequested.model_fields},
    )
    return _told(event, correlation=more.pop("correlation", f"redemption:{redemption}"))


def resource_published(resource: str, capacity: int, *, at: datetime = NOON, **terms: Any) -> Told:
    """Ask for seats to be offered."""
    event = asking.ResourcePublishRequested(
        program=terms.pop("program", PROGRAM),
        at=at,
        cause=Cause(kind="request", id=resource),
        resource=resource,
        document=Resource.model_validate({"capacity": capacity, **terms}),
        versions=Versions(program=1),
    )
    return _told(event, correlation=f"resource:{resource}")


def redemption_confirmed(member: str, redemption: str, *, at: datetime = NOON, **more: Any) -> Told:
    """Ask for what is held to be finished."""
    return _asked_of(asking.RedemptionConfirmRequested, member, redemption, at, f"confirm:{redemption}", more)


def redemption_cancelled(member: str, redemption: str, by: str = "member", *, at: datetime = NOON, **more: Any) -> Told:
    """Ask for a redemption to be taken back."""
    more["by"] = by
    return _asked_of(asking.RedemptionCancelRequested, member, redemption, at, f"cancel:{redemption}", more)


def _asked_of(model: Any, member: str, redemption: str, at: datetime, correlation: str, more: dict[str, Any]) -> Told:
    correlation = more.pop("correlation", correlation)
    event = model(
        program=PROGRAM,
        member=member,
        at=at,
        cause=Cause(kind="request", id=redemption),
        redemption=redemption,
        partner=more.pop("partner", "acme"),
        versions=Versions(program=1, as_of=more.pop("as_of", None)),
        **more,
    )
    return _told(event, correlation=correlation)


def points_held(member: str, hold: str, amount: int, *, unit: str = "point", **more: Any) -> Told:
    """Answer that points are held."""
    return _answer(points.PointsHeld, member, hold, unit, amount, lots=[points.LotAmount(lot="1.1", amount=amount)],
                   **more)  # fmt: skip


def hold_refused(member: str, hold: str, amount: int, *, unit: str = "point", **more: Any) -> Told:
    """Answer that points cannot be held."""
    fields = {"code": "insufficient_points", "available": 0, "shortfall": amount} | more
    return _answer(points.HoldRefused, member, hold, unit, amount, **fields)


def points_captured(member: str, hold: str, amount: int, *, unit: str = "point", **more: Any) -> Told:
    """Answer that points are spent."""
    return _answer(points.PointsCaptured, member, hold, unit, amount, **more)


def points_released(member: str, hold: str, amount: int, *, unit: str = "point", **more: Any) -> Told:
    """Answer that points are given back."""
    return _answer(points.PointsReleased, member, hold, unit, amount, **more)


def points_restored(member: str, hold: str, amount: int, *, unit: str = "point", **more: Any) -> Told:
    """Answer that spent points are back."""
    lots = [points.LotAmount(lot="1.1", amount=amount)]
    return _answer(points.PointsRestored, member, hold, unit, amount, lots=lots, by=more.pop("by", "member"), **more)


def points_converted(member: str, voucher: str, value: int = 250, **more: Any) -> Told:
    """Tell that points became a voucher."""
    at = more.pop("at", NOON)
    event = points.PointsConverted(
        program=more.pop("program", PROGRAM),
        member=member,
        at=at,
        cause=Cause(kind="conversion", id="statement"),
        conversion="statement",
        unit="point",
        amount=value,
        voucher=voucher,
        value=value,
        currency="GBP",
        due_at=more.pop("due_at", at),
        expires_at=more.pop("expires_at", at + timedelta(days=730)),
        not_above_basket=more.pop("not_above_basket", True),
        **more,
    )
    return _told(event, source="laurel/points/1")


def points_returned(member: str, activity: str, *tenders: tuple[str, str, int, int, int], **more: Any) -> Told:
    """Tell that an activity was returned, whose tenders were (kind, ref, amount, before, after)."""
    event = points.PointsClawedBack(
        program=PROGRAM,
        member=member,
        at=more.pop("at", NOON),
        cause=Cause(kind="activity", id=activity),
        activity=activity,
        of=more.pop("of", "b-1"),
        partner=more.pop("partner", "acme"),
        tenders=[
            points.TenderBack(kind=kind, ref=ref, amount=amount, before=before, after=after)
            for kind, ref, amount, before, after in tenders
        ],
    )
    return _told(event, source="laurel/points/1")


def clock_turned(as_of: datetime, converted: int, program: str = PROGRAM) -> Told:
    """Tell that points have turned a clock."""
    event = points.ClockTurned(
        program=program, member=None, at=as_of, cause=Cause(kind="message", id="1"), as_of=as_of, converted=converted
    )
    return _told(event, source="laurel/points/1")


def end_waits_requested(as_of: datetime, until: datetime, program: str = PROGRAM) -> Told:
    """Tell that points have come, on the way to an instant, to where waits end."""
    event = points.EndWaitsRequested(
        program=program, member=None, at=until, cause=Cause(kind="message", id="1"), as_of=as_of, until=until
    )
    return _told(event, source="laurel/points/1")


def voucher_used(
    member: str, voucher: str, reference: str = "till-1", *, basket: int | None = 1000, **more: Any
) -> Told:
    """Ask for a voucher to be spent."""
    event = asking.VoucherRedeemRequested(
        program=PROGRAM,
        member=member,
        at=more.pop("at", NOON),
        cause=Cause(kind="request", id=reference),
        voucher=voucher,
        partner=more.pop("partner", "acme"),
        reference=reference,
        basket=None if basket is None else Money(amount=basket, currency=more.pop("currency", "GBP")),
        amount=more.pop("amount", None),
        versions=Versions(program=1, as_of=more.pop("as_of", None)),
    )
    return _told(event, correlation=f"use:{reference}")


def voucher_voided(member: str, voucher: str, reference: str | None = None, **more: Any) -> Told:
    """Ask for a use to be undone, or for a voucher to be dead."""
    event = asking.VoucherVoidRequested(
        program=PROGRAM,
        member=member,
        at=more.pop("at", NOON),
        cause=Cause(kind="request", id=reference or voucher),
        voucher=voucher,
        partner=more.pop("partner", "acme"),
        reference=reference,
        anybodys=more.pop("anybodys", False),
        versions=Versions(program=1, as_of=more.pop("as_of", None)),
    )
    return _told(event, correlation=f"void:{reference}")


def _answer(model: Any, member: str, hold: str, unit: str, amount: int, **more: Any) -> Told:
    correlation = more.pop("correlation", f"redemption:{hold}")
    event = model(
        program=more.pop("program", PROGRAM),
        member=member,
        at=more.pop("at", NOON),
        cause=Cause(kind="hold", id=hold),
        hold=hold,
        unit=unit,
        amount=amount,
        version=more.pop("version", 1),
        balances=more.pop("balances", [balance(unit, 1000)]),
        **more,
    )
    return _told(event, source="laurel/points/1", correlation=correlation)


def balance(unit: str, available: int) -> points.Balance:
    """Return a balance in the contract's shape."""
    return points.Balance(unit=unit, available=available, lifetime=points.Lifetime(earned=available))


def _told(event: Any, *, source: str = "laurel/gateway/1", correlation: str = "") -> Told:
    return Told(event.TYPE, event.program, event.member or "", encode(event), source, correlation=correlation)


@dataclass(slots=True)
class PaperPoints:
    """Points as redemption may rely on them: asks of one key are answered in order, each hold ends once."""

    balances: dict[str, int] = field(default_factory=dict)
    holds: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    _numbers: dict[str, Any] = field(default_factory=dict)

    def answer(self, asked: Announcement) -> list[Told]:
        """Return what points say to one event of redemption."""
        body = msgspec.json.decode(asked.body)
        build = {
            "hold.requested.v1": self._hold,
            "hold.capture_requested.v1": self._capture,
            "hold.release_requested.v1": self._release,
            "hold.cancel_requested.v1": self._cancel,
        }.get(asked.type)
        if build is None:
            return []
        told = build(asked.member, body)
        for each in told:
            each.program, each.correlation = asked.program, asked.correlation
            each.sequence = next(self._numbers.setdefault(asked.member, itertools.count(1)))
        return told

    def _hold(self, member: str, body: dict[str, Any]) -> list[Told]:
        key, amount, at = (member, body["hold"]), body["amount"], _at(body)
        if key in self.holds:
            state, _ = self.holds[key]
            return [self._refused(body, 0, "hold_released")] if state == "released" else []
        available = self.balances.get(member, 0)
        least = body.get("least")
        if least is not None and available < least:
            self.holds[key] = ("refused", amount)
            return [self._refused(body, available, "below_minimum")]
        amount = amount if least is None else min(amount, available)
        if amount > available:
            self.holds[key] = ("refused", amount)
            return [self._refused(body, available, "insufficient_points")]
        self.balances[member] = available - amount
        self.holds[key] = ("held", amount)
        return [points_held(member, body["hold"], amount, unit=body["unit"], program=body["program"], at=at)]

    def _refused(self, body: dict[str, Any], available: int, code: str) -> Told:
        amount = body["amount"]
        return hold_refused(
            body["member"], body["hold"], amount, unit=body["unit"], program=body["program"], at=_at(body),
            available=available, shortfall=max(0, amount - available), code=code,
        )  # fmt: skip

    def _capture(self, member: str, body: dict[str, Any]) -> list[Told]:
        key = (member, body["hold"])
        state, amount = self.holds[key]
        if state == "captured":
            return []
        assert state == "held", f"the capture of a saga's hold cannot be refused, but it is {state}"
        self.holds[key] = ("captured", amount)
        return [points_captured(member, body["hold"], amount, program=body["program"], at=_at(body))]

    def _release(self, member: str, body: dict[str, Any]) -> list[Told]:
        key = (member, body["hold"])
        state, amount = self.holds.get(key, ("unknown", 0))
        if state not in {"held", "unknown"}:
            return []
        if state == "held":
            self.balances[member] += amount
        self.holds[key] = ("released", amount)
        return [points_released(member, body["hold"], amount, program=body["program"], at=_at(body))]

    def _cancel(self, member: str, body: dict[str, Any]) -> list[Told]:
        key = (member, body["hold"])
        state, amount = self.holds[key]
        if state == "cancelled":
            return []
        assert state == "captured", f"the cancellation of a saga's capture cannot be refused, but it is {state}"
        self.balances[member] += amount
        self.holds[key] = ("cancelled", amount)
        more = {"program": body["program"], "at": _at(body), "by": body["by"]}
        return [points_restored(member, body["hold"], amount, **more)]


def _at(body: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(body["at"])


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what never waits, such as the road on a store in memory, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
    coroutine.close()
    raise AssertionError("it waits for something")
