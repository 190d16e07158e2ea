"""Facts become events of the contract: what other services and systems hear of a decision.

No event holds a voucher's code: those who may see it ask for it (`entry/http.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from laurel.contracts import redemption as said
from laurel.contracts.envelope import Cause, Event, Versions
from laurel.contracts.fulfilment import Fulfilment
from laurel.contracts.points import LotAmount
from laurel.contracts.rewards import Money
from laurel.shapes import encode, struct_of
from services.redemption.domain import facts as f
from services.redemption.domain import heard as h
from services.redemption.domain.facts import AnyFact
from services.redemption.domain.state import HoldState, Saga, SagaKey, SagaState
from services.redemption.domain.vouchers import Voucher
from services.redemption.ports import Announcement, Decision, Incoming, TurnWaits

# Structs are built without a check, so what is passed through (the wallet's balances) may stay raw JSON.
_Cause: Any = struct_of(Cause)
_LotAmount: Any = struct_of(LotAmount)
_Fulfilment: Any = struct_of(Fulfilment)
_Money: Any = struct_of(Money)
_Price: Any = struct_of(said.Price)
_Versions: Any = struct_of(Versions)
_VoucherMade: Any = struct_of(said.VoucherMade)
_WalletSeen: Any = struct_of(said.WalletSeen)


@dataclass(slots=True)
class Occasion:
    """A decision just applied, the saga or voucher as it now stands, and the message that was answered, if any was."""

    decision: Decision
    saga: Saga | None
    heard: h.Heard
    message: Incoming | None
    voucher: Voucher | None = None

    @property
    def correlation(self) -> str:
        """Return the gateway's request id: points pass it on, and our own timer remembers it."""
        if self.message is not None and self.message.correlation:
            return self.message.correlation
        return self.saga.correlation if self.saga is not None else ""


def announce(occasion: Occasion) -> Iterator[Announcement]:
    """Return the events of one decision, in order. An outcome is also kept with its saga, to be said again."""
    for fact in occasion.decision.facts:
        build = _EVENTS.get(type(fact))
        if build is not None:
            correlation = _correlation(fact, occasion)
            for type_, body in build(fact, occasion):
                yield _announcement(occasion, type_, body, correlation)


def _correlation(fact: AnyFact, occasion: Occasion) -> str:
    """Return the request that a fact answers: mostly the one that led to it, if not, the one that still waits."""
    saga = occasion.saga
    if isinstance(fact, f.AskRefused) and fact.correlation:
        return fact.correlation
    if saga is not None and isinstance(fact, f.CancellationTold):
        return saga.cancelling
    if saga is not None and isinstance(fact, f.RedemptionRefused) and isinstance(occasion.heard, h.CancelRedemption):
        return saga.correlation
    return occasion.correlation


def _announcement(occasion: Occasion, type_: str, body: bytes, correlation: str) -> Announcement:
    message = occasion.message
    return Announcement(
        occasion.decision.program,
        occasion.heard.member or "",
        type_,
        body,
        occasion.decision.at,
        message.id if message is not None else "",
        correlation,
        message.traceparent if message is not None else "",
    )


def announce_go_on(waits: TurnWaits) -> Announcement:
    """Say that points may go on with a turn: the waits they rest for have ended."""
    shape: Any = struct_of(said.ClockGoOnRequested)
    cause = _Cause(kind="message", id=waits.message)
    spoken = {"as_of": waits.as_of, "until": waits.until}
    body = encode(shape(program=waits.program, member=None, at=waits.until, cause=cause, **spoken))
    said_by = (waits.message, waits.correlation, waits.traceparent)
    return Announcement(waits.program, "", said.ClockGoOnRequested.TYPE, body, waits.until, *said_by)


def said_last(saga: Saga) -> tuple[str, bytes] | None:
    """Return the type and body of what was last said of how a redemption stands; None where nothing was yet.

    An outcome is kept with its saga. What stands between is made again; what points said of the wallet with it is not.
    """
    if saga.outcome_type:
        return saga.outcome_type, saga.outcome
    fact: AnyFact
    if saga.state is SagaState.FULFILLING:
        fact = f.PartnerDelayed() if saga.delayed else f.PartnerAsked()
    elif saga.state is SagaState.HOLDING and saga.later and saga.hold is not HoldState.ASKED:
        fact = f.HeldForLater(lots=saga.lots)
    else:
        return None
    program, member, redemption = saga.key
    decision = Decision(program, saga.key, saga.step, "again", "", saga.at, (fact,))
    heard = h.TimeIsUp(program=program, at=saga.at, member=member, redemption=redemption)
    (event,) = _EVENTS[type(fact)](fact, Occasion(decision, saga, heard, None))
    return event


_Built = Iterable[tuple[str, bytes]]


def _event(occasion: Occasion, contract: type[Event], **fields: object) -> tuple[str, bytes]:
    decision = occasion.decision
    kind = "timer" if occasion.message is None else "redemption"
    cause = _Cause(kind=kind, id=decision.key.redemption) if isinstance(decision.key, SagaKey) else None
    common: dict[str, Any] = {
        "program": decision.program,
        "member": occasion.heard.member,
        "at": decision.at,
        "cause": cause,
    }
    shape: Any = struct_of(contract)
    return contract.TYPE, encode(shape(**{**common, **fields}))


def reward_shown(reward: str, terms: h.Terms) -> dict[str, Any]:
    """Return a reward as its event has it."""
    return {"reward": reward, **msgspec.to_builtins(terms)}


def _published(fact: f.RewardPublished, occasion: Occasion) -> _Built:
    document = reward_shown(fact.reward, fact.terms)
    cause = _Cause(kind="reward", id=fact.reward)
    yield _event(occasion, said.RewardPublished, cause=cause, reward=fact.reward, document=document)


def _resource_published(fact: f.ResourcePublished, occasion: Occasion) -> _Built:
    document = {"resource": fact.resource, **msgspec.to_builtins(fact.terms)}
    cause = _Cause(kind="resource", id=fact.resource)
    yield _event(occasion, said.ResourcePublished, cause=cause, resource=fact.resource, document=document)


def _points_asked(fact: f.PointsAsked, occasion: Occasion) -> _Built:
    """Ask for points. Where a turn of the program's clock will end the wait, points have to know when."""
    saga, heard = _saga(occasion), occasion.heard
    bargain = saga.bargain
    wish: dict[str, Any] = {"amount": saga.points, "least": bargain.least, "partner": bargain.honoured_by}
    wish["waits_until"] = fact.waits_until if fact.manual else None
    if isinstance(heard, h.Redeem):
        # Not the program's now: points know how far its clock has been turned meanwhile.
        wish["versions"] = _Versions(program=heard.versions.program, partners=heard.versions.partners)
    yield _event(occasion, said.HoldRequested, **_hold(saga), unit=saga.unit, **wish)


def _held(_fact: f.HeldForLater, occasion: Occasion) -> _Built:
    """Say that it can be confirmed, and until when."""
    saga = _saga(occasion)
    outcome = {**_outcome(saga), "lots": _lots(saga.lots), "wallet": _wallet(occasion), "expires_at": saga.waits_until}
    yield _event(occasion, said.RedemptionHeld, **outcome)


def _partner_asked(fact: f.PartnerAsked | f.PartnerDelayed, occasion: Occasion) -> _Built:
    """Say that a partner is asked, so that it can be seen what a member waits for."""
    saga = _saga(occasion)
    delayed = isinstance(fact, f.PartnerDelayed)
    outcome = {**_outcome(saga), "lots": _lots(saga.lots), "wallet": _wallet(occasion), "delayed": delayed}
    yield _event(occasion, said.RedemptionFulfilling, **outcome)


def _cancel_asked(fact: f.CancelAsked, occasion: Occasion) -> _Built:
    yield _event(occasion, said.HoldCancelRequested, **_hold(_saga(occasion)), by=fact.by)


def _cancellation_told(fact: f.CancellationTold, occasion: Occasion) -> _Built:
    """Say the outcome, with the points where they lie now."""
    saga = _saga(occasion)
    told = {"by": saga.cancelled_by, "request": saga.correlation, "lots": _lots(fact.lots), "points": 0}
    outcome = {**_outcome(saga), **told, "wallet": _wallet(occasion)}
    yield _kept(saga, _event(occasion, said.RedemptionCancelled, **outcome))


def _ask_refused(fact: f.AskRefused, occasion: Occasion) -> _Built:
    told = {"asked": fact.asked, "code": fact.code, "detail": fact.detail, "facts": fact.facts}
    yield _event(occasion, said.RedemptionAskRefused, redemption=_saga(occasion).key.redemption, **told)


def _lots(parts: Iterable[h.LotAmount]) -> list[object]:
    return [_LotAmount(lot=part.lot, amount=part.amount) for part in parts]


def _release_asked(fact: f.ReleaseAsked, occasion: Occasion) -> _Built:
    turned = {"turned_to": fact.turned_to, "waited_until": fact.waited_until}
    yield _event(occasion, said.HoldReleaseRequested, **_hold(_saga(occasion)), reason=fact.reason, **turned)


def _fulfilled(_fact: f.RedemptionFulfilled, occasion: Occasion) -> _Built:
    """Say the outcome, each voucher, and, in the same breath, that the points are to be spent."""
    saga, facts = _saga(occasion), occasion.decision.facts
    vouchers = [fact for fact in facts if isinstance(fact, f.VoucherIssued)]
    made = [
        _VoucherMade(
            voucher=fact.voucher,
            suffix=fact.suffix,
            value=_money(fact.value),
            expires_at=fact.expires_at,
            percent=fact.percent,
            product=fact.product,
        )
        for fact in vouchers
    ]
    outcome = {**_outcome(saga), "lots": _lots(saga.lots), "vouchers": made, "wallet": _wallet(occasion)}
    outcome |= {"reference": saga.reference, "request": _settled(occasion)}
    yield _kept(saga, _event(occasion, said.RedemptionFulfilled, **outcome))
    for fact in vouchers:
        yield _voucher_issued(fact, saga, occasion)
    if saga.points:
        yield _event(occasion, said.HoldCaptureRequested, **_hold(saga))


def _settled(occasion: Occasion) -> str:
    """Return the request that waited while an operator decided for a partner."""
    done = next((fact for fact in occasion.decision.facts if isinstance(fact, f.PartnerDone)), None)
    return _saga(occasion).correlation if done is not None and done.settled else ""


def _voucher_issued(fact: f.VoucherIssued, saga: Saga, occasion: Occasion) -> tuple[str, bytes]:
    return _event(
        occasion,
        said.VoucherIssued,
        voucher=fact.voucher,
        suffix=fact.suffix,
        value=fact.value.amount if fact.value else None,
        currency=fact.value.currency if fact.value else None,
        expires_at=fact.expires_at,
        redemption=saga.key.redemption,
        issued_at=occasion.decision.at,
        state="issued",
        left=fact.value.amount if fact.value else None,
        percent=fact.percent,
        product=fact.product,
        parts=fact.parts,
    )


def _refused(fact: f.RedemptionRefused, occasion: Occasion) -> _Built:
    saga = _saga(occasion)
    explained = {"code": fact.code, "detail": fact.detail, "facts": fact.facts, "wallet": _wallet(occasion)}
    yield _kept(saga, _event(occasion, said.RedemptionRefused, **{**_outcome(saga), "points": 0, **explained}))


def _repeated(_fact: f.RequestRepeated, occasion: Occasion) -> _Built:
    saga = _saga(occasion)
    yield saga.outcome_type, saga.outcome


def _saga(occasion: Occasion) -> Saga:
    assert occasion.saga is not None
    return occasion.saga


def _kept(saga: Saga, event: tuple[str, bytes]) -> tuple[str, bytes]:
    saga.outcome_type, saga.outcome = event
    return event


def _hold(saga: Saga) -> dict[str, str]:
    """Name the hold: it bears the id of its redemption."""
    return {"hold": saga.key.redemption, "redemption": saga.key.redemption}


def _outcome(saga: Saga) -> dict[str, Any]:
    bargain = saga.bargain
    price = _Price(unit=saga.unit, amount=bargain.price or saga.points) if saga.unit else None
    return {
        "redemption": saga.key.redemption,
        "reward": saga.reward,
        "price": price,
        "points": saga.points,
        "to_pay": _money(bargain.to_pay),
        "quantity": bargain.quantity,
        "party": bargain.party,
        "honoured_by": bargain.honoured_by,
        "beneficiary": bargain.beneficiary,
    }


def _wallet(occasion: Occasion) -> object:
    """Return what the answer of points said of the wallet, so that balances can be shown with the outcome."""
    heard, message = occasion.heard, occasion.message
    if message is None or not isinstance(heard, h.HoldAnswer):
        return None
    return _WalletSeen(source=message.source, sequence=message.sequence, balances=heard.balances, version=heard.version)


def _money(value: h.Money | None) -> object:
    return None if value is None else _Money(amount=value.amount, currency=value.currency)


def _converted(_fact: f.VoucherIssued, occasion: Occasion) -> _Built:
    """Say what points became; a redemption says its vouchers with its outcome."""
    if occasion.voucher is not None:
        yield _voucher_event(occasion, said.VoucherIssued)


def _redeemed(fact: f.VoucherRedeemed, occasion: Occasion) -> _Built:
    used: dict[str, Any] = {"reference": fact.reference, "partner": fact.partner, "basket": _money(fact.basket)}
    if fact.paid is not None:
        used |= {"amount": fact.paid.amount, "paid_in": fact.paid.currency}
    yield _voucher_event(occasion, said.VoucherRedeemed, **used)


def _undone(fact: f.VoucherUndone, occasion: Occasion) -> _Built:
    whose = {"reference": fact.reference, "partner": fact.partner, "used_by": fact.used_by or None}
    yield _voucher_event(occasion, said.VoucherUndone, **whose)


def _given_back(fact: f.VoucherGivenBack, occasion: Occasion) -> _Built:
    """Say what can be used again; a share of a voucher that is used whole is a voucher of its own."""
    if fact.restored:
        part = {"reference": fact.reference, "partner": fact.partner, "amount": fact.restored}
        yield _voucher_event(occasion, said.VoucherUndone, **part)


def _voided(fact: f.VoucherVoided, occasion: Occasion) -> _Built:
    yield _voucher_event(occasion, said.VoucherVoided, partner=fact.partner)


def _expired(_fact: f.VoucherExpired, occasion: Occasion) -> _Built:
    yield _voucher_event(occasion, said.VoucherExpired)


def _voucher_refused(fact: f.VoucherRefused, occasion: Occasion) -> _Built:
    told = {"code": fact.code, "asked": fact.asked, "reference": fact.reference or None, "partner": fact.partner}
    yield _voucher_event(occasion, said.VoucherRefused, **told)


def _voucher_event(occasion: Occasion, contract: type[Event], **fields: object) -> tuple[str, bytes]:
    voucher = occasion.voucher
    assert voucher is not None
    return _event(
        occasion,
        contract,
        cause=_Cause(kind="timer" if occasion.message is None else "voucher", id=voucher.key.voucher),
        voucher=voucher.key.voucher,
        suffix=voucher.suffix,
        value=voucher.value,
        currency=voucher.currency,
        expires_at=voucher.expires_at,
        redemption=voucher.redemption or None,
        conversion=voucher.conversion or None,
        issued_at=voucher.issued_at,
        state=str(voucher.state),
        left=voucher.left,
        percent=voucher.percent,
        product=voucher.product,
        parts=voucher.parts,
        share_of=voucher.share_of or None,
        **fields,
    )


_EVENTS: dict[type, Callable[[Any, Occasion], _Built]] = {
    f.RewardPublished: _published,
    f.ResourcePublished: _resource_published,
    f.PointsAsked: _points_asked,
    f.HeldForLater: _held,
    f.PartnerAsked: _partner_asked,
    f.PartnerDelayed: _partner_asked,
    f.CancelAsked: _cancel_asked,
    f.CancellationTold: _cancellation_told,
    f.AskRefused: _ask_refused,
    f.ReleaseAsked: _release_asked,
    f.RedemptionFulfilled: _fulfilled,
    f.RedemptionRefused: _refused,
    f.RequestRepeated: _repeated,
    f.VoucherIssued: _converted,
    f.VoucherRedeemed: _redeemed,
    f.VoucherUndone: _undone,
    f.VoucherGivenBack: _given_back,
    f.VoucherVoided: _voided,
    f.VoucherExpired: _expired,
    f.VoucherRefused: _voucher_refused,
}
