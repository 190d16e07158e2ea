"""What events tell."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from laurel.contracts.registry import EVENTS, POINTS_TOPIC, REDEMPTION_TOPIC, TOPICS
from services.gateway.naming import RequestKey, idempotency_id
from services.gateway.outcomes import ANSWERS, TYPES, told_by
from services.gateway.told.telling import FREED, NOTHING, POSTED, REFUSED, Place
from tests.gateway.messages import message

AWARDED = {
    "activity": "t-1",
    "partner": "acme",
    "awards": [{"unit": "point", "amount": 7}],
    "decision": [{"rule": "base"}],
    "tier": {"name": "gold", "changed": False},
    "vouchers": [],
    "balances": [{"unit": "point", "available": 7}],
    "version": 4,
}


def test_points_awarded_is_the_outcome_of_its_activity_and_the_wallet_after_it() -> None:
    told = told_by(message("points.awarded.v1", AWARDED))
    assert told.outcome is not None
    assert told.outcome.state == POSTED
    shown = json.loads(told.outcome.body)
    assert shown["id"] == "t-1"
    assert shown["awards"] == AWARDED["awards"]
    assert shown["tier"] == AWARDED["tier"]
    assert "reversals" not in shown
    assert told.summary is not None
    assert told.summary.place == Place(2, 7)
    assert told.summary.version == 4
    assert json.loads(told.summary.balances or b"") == AWARDED["balances"]


def test_a_return_tells_what_it_took_back() -> None:
    told = told_by(message("points.clawed_back.v1", {**AWARDED, "of": "t-0", "reversals": [{"rule": "base"}]}))
    assert told.outcome is not None
    assert json.loads(told.outcome.body)["reversals"] == [{"rule": "base"}]


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("claim_too_late", REFUSED),
        ("over_returned", REFUSED),
        ("a_code_of_later", REFUSED),
        ("activity_unknown", FREED),
        ("member_unknown", FREED),
        ("member_not_active", FREED),
        ("partner_not_active", FREED),
        ("currency_not_accepted", FREED),
        ("idempotency_mismatch", FREED),
    ],
)
def test_a_refusal_is_kept_or_leaves_the_id_free(code: str, state: str) -> None:
    body = {"activity": "t-1", "partner": "acme", "code": code, "facts": {"credited": {"program": "other"}}}
    told = told_by(message("activity.refused.v1", body))
    assert told.outcome is not None
    assert (told.outcome.state, told.outcome.code) == (state, code)
    shown = json.loads(told.outcome.body)
    assert shown["state"] == "refused"
    assert shown["credited"] == {"program": "other"}
    assert shown["detail"]


def test_an_event_of_another_activity_or_kind_answers_nobody() -> None:
    assert told_by(message("points.awarded.v1", AWARDED, "a:grocery:acme:1:t-2")).outcome is None
    assert told_by(message("points.awarded.v1", AWARDED, "r:grocery:acme:1:t-1")).outcome is None
    assert told_by(message("points.awarded.v1", AWARDED, "")).outcome is None
    held = told_by(message("points.held.v1", {"hold": "h", "unit": "point", "amount": 5, "version": 5}))
    assert held.outcome is None
    assert held.summary is not None
    assert told_by(message("something.later.v1", {})) is NOTHING


def test_a_redemption_tells_its_state_and_the_wallet_it_builds_on() -> None:
    body = {
        "redemption": "r-1",
        "reward": "mug",
        "price": {"unit": "point", "amount": 100},
        "points": 100,
        "wallet": {
            "source": "laurel/points/3",
            "sequence": 9,
            "balances": [{"unit": "point", "available": 0}],
            "version": 6,
        },
    }
    told = told_by(message("redemption.fulfilled.v1", body, "r:grocery:acme:1:k", source="laurel/redemption/1"))
    assert told.outcome is not None
    assert told.redemption is not None
    assert told.redemption.state == "fulfilled"
    assert told.redemption.place == Place(1, 7)
    assert told.summary is not None
    assert told.summary.place == Place(3, 9)
    refused = told_by(
        message(
            "redemption.refused.v1",
            {**body, "code": "insufficient_points", "facts": {"available": 3, "shortfall": 97}},
            "r:grocery:acme:1:k",
        )
    )
    assert refused.outcome is not None
    shown = json.loads(refused.outcome.body)
    assert refused.outcome.state == REFUSED
    assert (shown["unit"], shown["available"], shown["shortfall"]) == ("point", 3, 97)


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"partner": "acme"}', b'{"activity": 7}'])
def test_a_body_that_is_not_what_its_type_promises_is_an_error(body: bytes) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        told_by(message("points.awarded.v1", {}, body=body))
    with pytest.raises(ValueError, match="invalid literal"):
        told_by(message("points.awarded.v1", AWARDED, source="laurel/points/first"))


REDEEMED = {"redemption": "r-1", "reward": "mug"}


@pytest.mark.parametrize(
    ("type_", "said"),
    [
        ("points.awarded.v1", {**AWARDED, "awards": 7}),
        ("points.awarded.v1", {**AWARDED, "awards": [{"unit": "point"}]}),
        ("points.awarded.v1", {**AWARDED, "awards": [{"unit": "point", "amount": 10**15 + 1}]}),
        ("points.awarded.v1", {**AWARDED, "balances": 7}),
        ("points.awarded.v1", {**AWARDED, "balances": [{"unit": "point", "available": "7"}]}),
        ("points.awarded.v1", {**AWARDED, "balances": [{"unit": "point", "available": 7, "lifetime": [1]}]}),
        ("points.awarded.v1", {**AWARDED, "tier": "gold"}),
        ("points.clawed_back.v1", {**AWARDED, "of": "t-0", "awards": {"unit": "point"}}),
        ("activity.refused.v1", {"activity": "t-1", "code": "claim_too_late", "balances": [7]}),
        ("points.expired.v1", {"balances": None, "version": 5}),
        ("redemption.fulfilled.v1", {**REDEEMED, "vouchers": [7]}),
        ("redemption.held.v1", {**REDEEMED, "wallet": {"source": "laurel/points/1", "sequence": 1, "balances": 7}}),
        ("reward.published.v1", {"reward": "mug", "document": "a mug"}),
    ],
)
def test_parts_that_are_handed_on_are_what_their_readers_will_want(type_: str, said: dict[str, Any]) -> None:
    with pytest.raises((msgspec.MsgspecError, ValueError)):
        told_by(message(type_, said))


def test_parts_that_nobody_looks_into_are_text_at_least() -> None:
    body = json.dumps({**AWARDED, "decision": [{"rule": "?"}]}).encode().replace(b"?", b"\xff")
    with pytest.raises(UnicodeDecodeError):
        told_by(message("points.awarded.v1", {}, body=body))
    told_by(message("points.awarded.v1", {}, body=body.replace(b"\xff", "é".encode())))


def test_every_type_is_one_of_the_contract() -> None:
    assert set(EVENTS) >= TYPES >= ANSWERS
    said = {kind.name for topic in (POINTS_TOPIC, REDEMPTION_TOPIC) for kind in TOPICS[topic]}
    asks = {f"hold.{deed}.v1" for deed in ("requested", "capture_requested", "release_requested", "cancel_requested")}
    asks |= {"redemption.end_waits_requested.v1", "clock.go_on_requested.v1"}
    assert said - TYPES == asks | {"voucher.issued.v1", "voucher.expired.v1"}


STANDING = {"name": "gold", "since": "2026-03-14", "until": "2027-12-31"}
CHALLENGE = {"counter": "miles", "needs": 12500, "until": "2026-06-11"}
MATCHED = {
    "from": "member",
    "to": "gold",
    "since": "2026-03-14",
    "until": "2026-06-11",
    "reason": "matched",
    "match": "s-1",
    "challenge": CHALLENGE,
    "balances": [],
    "version": 3,
    "tier_standing": STANDING,
}


@pytest.mark.parametrize("type_", ["points.awarded.v1", "points.clawed_back.v1", "points.expired.v1"])
def test_where_a_member_stands_is_kept_for_reads(type_: str) -> None:
    told = told_by(message(type_, {**AWARDED, "tier_standing": STANDING}))
    assert told.summary is not None
    assert json.loads(told.summary.tier or b"") == STANDING
    silent = told_by(message(type_, AWARDED))
    assert silent.summary is not None
    assert silent.summary.tier is None


def test_a_match_is_answered_by_the_change_of_tier() -> None:
    told = told_by(message("tier.changed.v1", MATCHED, "s:mileageplus:acme:1:s-1"))
    assert told.outcome is not None
    assert json.loads(told.outcome.body) == {
        "match": "s-1",
        "state": POSTED,
        "tier": "gold",
        "since": "2026-03-14",
        "until": "2026-06-11",
        "challenge": CHALLENGE,
    }
    assert told.summary is not None
    assert json.loads(told.summary.tier or b"") == STANDING


def test_a_change_that_an_activity_brought_is_no_outcome_of_it() -> None:
    lifted = {**MATCHED, "match": None, "challenge": None, "reason": "reached"}
    assert told_by(message("tier.changed.v1", lifted)).outcome is None


@pytest.mark.parametrize(("code", "state"), [("match_limit", REFUSED), ("member_not_active", FREED)])
def test_a_match_may_be_refused(code: str, state: str) -> None:
    said = {"match": "s-1", "tier": "gold", "code": code, "detail": "because"}
    told = told_by(message("tier.match_refused.v1", said, "s:mileageplus:acme:1:s-1"))
    assert told.outcome is not None
    assert (told.outcome.state, told.outcome.code) == (state, code)
    assert json.loads(told.outcome.body)["match"] == "s-1"


VOUCHER = {
    "voucher": "v-1",
    "suffix": "7GQ2",
    "value": 250,
    "currency": "GBP",
    "issued_at": "2021-02-01T00:00:00Z",
    "expires_at": "2023-03-01T00:00:00Z",
    "conversion": "statement",
    "reference": "till-1",
    "partner": "acme",
}


@pytest.mark.parametrize(
    ("type_", "correlation", "state", "left"),
    [
        ("voucher.redeemed.v1", "vr:grocery:acme:1:v-1:abc", "spent", 0),
        ("voucher.undone.v1", "vv:grocery:acme:1:v-1:abc", "issued", 250),
        ("voucher.voided.v1", "vv:grocery:acme:1:v-1", "void", 0),
    ],
)
def test_what_became_of_a_voucher_is_the_outcome_of_who_asked(
    type_: str, correlation: str, state: str, left: int
) -> None:
    told = told_by(message(type_, VOUCHER, correlation))
    assert told.outcome is not None
    shown = json.loads(told.outcome.body)
    assert (shown["voucher"], shown["state"], shown["left"], shown["member"]) == ("v-1", state, left, "m-1")
    assert "code" not in shown
    assert told_by(message(type_, VOUCHER, "r:grocery:acme:1:k")).outcome is None


@pytest.mark.parametrize(
    ("said", "whose"),
    [
        ({"partner": "acme"}, "acme"),
        ({"partner": "operator", "used_by": "acme"}, "acme"),
        ({"partner": "acme", "amount": 100}, None),
    ],
)
def test_whoever_used_a_voucher_is_told_that_it_was_undone(said: dict[str, Any], whose: str | None) -> None:
    """By a void or by a return of all it paid for; a part that came back leaves the use."""
    told = told_by(message("voucher.undone.v1", {**VOUCHER, "reference": "till-1", **said}, ""))
    if whose is None:
        assert told == NOTHING
        return
    assert told.outcome is None
    assert told.undone is not None
    assert told.undone.key == RequestKey("grocery", "voucher_redeem", whose, f"v-1:{idempotency_id('till-1')}")
    assert told.undone.code == "voucher_use_undone"


def test_a_refused_use_of_a_voucher_is_kept() -> None:
    said = {**VOUCHER, "code": "voucher_spent", "asked": "redeem"}
    told = told_by(message("voucher.refused.v1", said, "vr:grocery:acme:1:v-1:abc"))
    assert told.outcome is not None
    assert (told.outcome.state, told.outcome.code) == (REFUSED, "voucher_spent")
    assert told_by(message("voucher.refused.v1", said, "vv:grocery:acme:1:v-1:abc")) == NOTHING


@pytest.mark.parametrize("code", ["voucher_unknown", "voucher_spent", "voucher_expired", "over_returned"])
@pytest.mark.parametrize("correlation", ["vv:grocery:acme:1:v-1", "vv:grocery:acme:1:v-1:abc"])
def test_what_could_not_be_undone_may_be_asked_again(code: str, correlation: str) -> None:
    """A voucher that is spent today may be good again tomorrow, and dead the day after."""
    told = told_by(message("voucher.refused.v1", {**VOUCHER, "code": code, "asked": "void"}, correlation))
    assert told.outcome is not None
    assert (told.outcome.state, told.outcome.code) == (FREED, code)
