"""What events tell of points that went between two wallets: who answers, what is shown, and what comes late."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from laurel.io.database import Database
from services.gateway.outcomes import told_by
from services.gateway.store.recording import record
from services.gateway.told.telling import POSTED, REFUSED
from tests.gateway.messages import message
from tests.gateway.stage import PROGRAM

GIFT = {"transfer": "g-1", "direction": "sent", "other": "m-2", "other_version": 3, "unit": "point", "amount": 5}
ASKED = "g:grocery:acme:1:k-1"


def test_the_giver_s_half_answers_and_says_how_far_the_other_is_to_be_shown() -> None:
    told = told_by(message("points.transferred.v1", GIFT, ASKED))
    assert told.outcome is not None
    shown = json.loads(told.outcome.body)
    assert shown.pop("_other") == ["grocery", "m-2", 3]
    assert shown == {
        "transfer": "g-1", "state": "posted", "from": "m-1", "to": "m-2", "unit": "point", "amount": 5, "lots": [],
        "balances": [],
    }  # fmt: skip
    assert told.operation is not None
    assert json.loads(told.operation.body) == shown, "what a GET shows does not name it"


@pytest.mark.parametrize("change", [{"direction": "received"}, {"reason": "pooling"}])
def test_no_other_half_answers(change: dict[str, Any]) -> None:
    told = told_by(message("points.transferred.v1", {**GIFT, **change}, ASKED))
    assert (told.outcome, told.operation) == (None, None)
    assert told.summary is not None


def test_a_gift_answers_no_other_kind_of_request() -> None:
    told = told_by(message("points.transferred.v1", GIFT, "h:grocery:acme:1:k-1"))
    assert told.outcome is None


def test_a_refusal_says_what_is_short_and_what_is_left() -> None:
    refused = {"transfer": "g-1", "to": "m-2", "unit": "point", "amount": 5, "code": "insufficient_points"}
    told = told_by(message("points.transfer_refused.v1", {**refused, "available": 3, "shortfall": 2, "left": 9}, ASKED))
    assert told.outcome is not None
    assert told.outcome.state == REFUSED
    shown = json.loads(told.outcome.body)
    assert (shown["available"], shown["shortfall"], shown["left"]) == (3, 2, 9)
    assert (shown["transfer"], shown["from"], shown["to"]) == ("g-1", "m-1", "m-2")


def test_what_a_merged_account_passes_on_later_answers_nobody() -> None:
    merged = {"merge": "back-1", "role": "merged", "other": "m-2"}
    told = told_by(message("member.merged.v1", merged, "a:grocery:acme:1:back-1"))
    assert told.outcome is None
    assert told.merged is not None
    assert told.merged.into == "m-2"
    further = told_by(message("member.merged.v1", {**merged, "other": "m-3", "part_of": "m-2"}, ""))
    assert further.merged is not None
    assert further.merged.into == "m-2", "what it passed on went on from there"


@pytest.mark.anyio
async def test_a_merge_that_is_heard_after_it_was_taken_back_changes_nothing(
    http: httpx.AsyncClient, member: str, database: Database
) -> None:
    said = {"merge": "mg-1", "role": "merged", "other": "m-2"}
    late = told_by(message("member.merged.v1", {**said, "version": 2}, "", program=PROGRAM, sequence=5))
    soon = told_by(message("member.unmerged.v1", {**said, "version": 3}, "", program=PROGRAM, sequence=6))
    for told in (soon, late):
        async with database.transaction() as connection:
            await record(connection, [told], datetime.now(UTC))
    shown = (await http.get(f"/v1/programs/{PROGRAM}/members/{member}")).json()
    assert (shown["member"], shown["status"], shown["state"]) == (member, "active", POSTED)
