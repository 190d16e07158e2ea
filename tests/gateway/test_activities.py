"""Activities at the till: reported, answered, repeated, shown again."""

from __future__ import annotations

import httpx
import pytest

from tests.gateway.stage import PROGRAM, purchase

pytestmark = pytest.mark.anyio

ACTIVITIES = f"/v1/programs/{PROGRAM}/activities"


async def test_a_purchase_is_answered_with_what_it_earned_and_shown_again(http: httpx.AsyncClient, member: str) -> None:
    answer = await http.post(ACTIVITIES, json=purchase("t-1", amount=730))
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert shown["state"] == "posted"
    assert shown["awards"][0]["amount"] == 7
    assert shown["balances"][0]["available"] == 7
    assert answer.headers["location"] == f"{ACTIVITIES}/t-1"
    assert (await http.get(f"{ACTIVITIES}/t-1")).json() == shown
    assert (await http.get(f"/v1/programs/{PROGRAM}/members/{member}")).json()["balances"] == shown["balances"]
