"""What the gateway says is what the contract says that it says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from laurel.contracts.activity import Activity, content_hash
from laurel.contracts.http import PublishReward
from laurel.contracts.reading import read
from laurel.contracts.registry import EVENTS
from laurel.io.saying import MAIN, Saying
from services.gateway.asking import Stamp
from services.gateway.naming import ACTIVITY, MEMBER, REDEMPTION, REWARD, Correlation, RequestKey
from services.gateway.saying import (
    activity_json,
    activity_reported,
    enrolment_requested,
    redemption_requested,
    reward_publish_requested,
)
from services.gateway.store.members import NewIdentifier, NewMember
from services.gateway.store.programs import ProgramHead
from tests.gateway.stage import NOON, purchase


def stamp(kind: str, id_: str, **head: Any) -> Stamp:
    where = {"program": "grocery", "version": 3, "clock": "wall", "as_of": None, **head}
    return Stamp(Correlation(RequestKey("grocery", kind, "acme", id_), 1), ProgramHead(**where), NOON)


def reported(**head: Any) -> Saying:
    whole = purchase(
        "t-1",
        {"scheme": "card", "value": "6340001"},
        lines=[{"id": "1", "sku": "5000168", "quantity": 2, "amount": 500, "category": "BISCUITS"}],
        tenders=[],
        partner="acme",
    )
    activity = read(Activity, json.dumps(whole).encode())
    return activity_reported(
        stamp(ACTIVITY, "t-1", **head),
        member="m-1",
        partner="acme",
        hash_=content_hash(activity),
        occurred_at=activity.occurred_at,
        activity=activity_json(activity, "m-1"),
        traceparent="",
    )


def said() -> list[Saying]:
    new = NewMember("grocery", "m-1", NOON, "p-1", None, b"{}", (NewIdentifier("card", b"hash", b"sealed"),))
    document = read(PublishReward, b'{"name": "Mug", "kind": "product", "unit": "point", "price": 100}')
    return [
        reported(),
        enrolment_requested(stamp(MEMBER, "m-1"), new, {"age": 7}, ""),
        reward_publish_requested(stamp(REWARD, "mug"), "mug", document, ""),
        redemption_requested(
            stamp(REDEMPTION, "k"),
            redemption="r-1",
            member="m-1",
            partner="acme",
            hash_="1:abc",
            reward="mug",
            later=False,
            quantity=2,
            traceparent="",
        ),
    ]


@pytest.mark.parametrize("saying", said(), ids=lambda saying: saying.type)
def test_every_message_is_one_of_the_contract(saying: Saying) -> None:
    model = EVENTS[saying.type].model
    event = model.model_validate_json(saying.body)
    assert event.program == saying.program
    assert (event.member or "") == saying.member
    assert saying.stream == MAIN
    assert set(json.loads(saying.body)) <= set(model.model_fields)
    assert event.cause.id == saying.correlation


def test_no_identifier_travels_and_the_partner_is_said_once() -> None:
    body = json.loads(reported().body)
    assert "6340001" not in reported().body.decode()
    assert body["activity"]["member"] == "m-1"
    assert body["activity"]["tenders"] == [], "no tenders and an empty list are two things"
    assert "partner" not in body["activity"]
    assert body["partner"] == "acme"
    assert body["versions"] == {"program": 3, "partners": 0, "as_of": None}


def test_time_is_now_or_where_a_manual_clock_stands() -> None:
    assert reported().at == NOON
    as_of = NOON.replace(year=2025)
    assert reported(clock="manual", as_of=as_of).at == as_of
    assert reported(clock="manual").at.isoformat() == "2026-03-14T09:26:53+00:00"
