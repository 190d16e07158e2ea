"""A version has a start, and never alters what was posted (S14): who judges what when rules change in between."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from laurel.program import load_program
from tests.points.till import A_SHOP, Till, purchase

pytestmark = pytest.mark.anyio

STEPS = {"rule": "steps", "on": ["purchase"], "unit": "step", "rate": {"points": 1, "per": 1}}
PLAIN = {**A_SHOP, "earning": [*A_SHOP["earning"], STEPS]}
JUNE = "2024-06-01T00:00:00+00:00"
MAY = datetime(2024, 5, 31, 10, tzinfo=UTC)


def levels(window: str = "calendar_year", **needs: int) -> dict[str, Any]:
    months = {"months": 12} if window == "rolling" else {}
    return {
        "counters": {"c": {"unit": "step", "window": window, **months}},
        "levels": [{"tier": "member"}, *({"tier": tier, "needs": {"c": least}} for tier, least in needs.items())],
        "lasts": {"kind": "end_of_period", "period": "year", "after": 1},
    }


async def member(first: dict[str, Any], second: dict[str, Any]) -> Till:
    """A member of a program whose tiers are others from June on; it is March."""
    till = Till(load_program({**PLAIN, "tiers": first}))
    till.programs.publish(load_program({**PLAIN, "tiers": second, "effective_from": JUNE}))
    till.at = datetime(2024, 3, 1, 12, tzinfo=UTC)
    await till.enrol()
    return till


def tier(till: Till) -> str:
    assert till.wallet.tiers is not None
    assert till.wallet.tiers.standing is not None
    return till.wallet.tiers.standing.tier


async def buy(till: Till, id_: str, amount: int, at: datetime | None = None) -> dict[str, Any]:
    return await till.report(purchase(id_, amount, at or till.at), version=2)


async def give_back(till: Till, of: str, amount: int) -> None:
    activity = {"id": f"r-{of}", "type": "return", "of": of, "occurred_at": till.at.isoformat(), "amount": amount}
    await till.report(activity, version=2)


async def test_a_tier_that_needs_less_now_is_not_lost_by_what_it_needed_then() -> None:
    till = await member(levels(silver=1000), levels(silver=500))
    await buy(till, "b-1", 600)
    till.pass_time(days=120)
    await buy(till, "b-2", 100)
    assert tier(till) == "silver"
    await give_back(till, "b-1", 100)
    assert tier(till) == "silver"
    await give_back(till, "b-2", 100)
    assert tier(till) == "silver"


async def test_a_tier_that_needs_more_now_stands_on_what_it_was_reached_by() -> None:
    till = await member(levels(silver=500), levels(silver=1000))
    await buy(till, "b-1", 600)
    assert tier(till) == "silver"
    till.pass_time(days=120)
    await buy(till, "b-2", 10)
    await give_back(till, "b-1", 50)
    assert tier(till) == "silver"
    await give_back(till, "b-2", 10)
    assert tier(till) == "silver"


async def test_what_was_reached_by_the_new_version_is_not_kept_by_the_old_one() -> None:
    till = await member(levels(gold=500), levels(gold=1000))
    await buy(till, "b-1", 400)
    till.pass_time(days=120)
    await buy(till, "b-2", 600)
    assert tier(till) == "gold"
    await give_back(till, "b-1", 400)
    assert tier(till) == "member"


async def test_a_tier_that_the_old_version_did_not_know_goes_with_what_led_to_it() -> None:
    till = await member(levels(silver=1000), levels(bronze=500, silver=1000))
    await buy(till, "b-1", 600)
    till.pass_time(days=120)
    await buy(till, "b-2", 1)
    assert tier(till) == "bronze"
    await give_back(till, "b-1", 600)
    assert tier(till) == "member"


async def test_a_tier_that_was_given_up_goes_with_what_led_to_it() -> None:
    till = await member(levels(silver=500), levels(gold=5000))
    await buy(till, "b-1", 600)
    till.pass_time(days=120)
    await give_back(till, "b-1", 600)
    assert tier(till) == "member"


async def test_what_is_reported_late_leads_up_now_only_by_what_is_needed_now() -> None:
    till = await member(levels("rolling", silver=500), levels("rolling", silver=1000))
    await buy(till, "b-0", 1)
    till.pass_time(days=120)
    await buy(till, "b-1", 450)
    await buy(till, "b-2", 100, MAY)
    # On that day there were 101, and today 551 do not suffice.
    assert till.wallet.tiers is not None
    assert till.wallet.tiers.standing is None


async def test_what_is_reported_late_leads_up_now_by_what_suffices_now() -> None:
    till = await member(levels("rolling", silver=5000), levels("rolling", silver=500))
    till.pass_time(days=120)
    await buy(till, "b-1", 450)
    await buy(till, "b-2", 100, MAY)
    assert tier(till) == "silver"
