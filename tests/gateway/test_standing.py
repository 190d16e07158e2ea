"""Where a member stands, as reads show it on a day."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from laurel.calendars import zone_named
from laurel.program import load_program
from laurel.program.tiers import CompiledTiers
from services.gateway.standing import tier_shown

PROGRAMS = Path(__file__).parents[2] / "programs"
JOINED = datetime(2023, 5, 1, 12, tzinfo=UTC)
YEAR = {"counter": "year_miles", "value": 30000, "from": "2024-01-01", "until": "2024-12-31", "next": None}
GOLD: dict[str, Any] = {
    "name": "gold",
    "since": "2023-11-20",
    "until": "2025-12-31",
    "years": 0,
    "years_from": 2024,
    "benefits": [{"name": "lounge", "value": None}],
    "progress": [YEAR],
}


def tiers(name: str = "mileageplus") -> CompiledTiers:
    document = load_program((PROGRAMS / f"{name}.yaml").read_text())
    assert document.tiers is not None
    return CompiledTiers.from_document(document.tiers, zone_named(document.time_zone))


def shown(said: dict[str, Any] | None, now: datetime | None, name: str = "mileageplus") -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(
        tier_shown(None if said is None else msgspec.json.encode(said), tiers(name), JOINED, now)
    )
    return found


def test_who_has_counted_nothing_is_on_the_first_tier() -> None:
    found = shown(None, datetime(2024, 6, 1, tzinfo=UTC))
    assert (found["name"], found["since"], found["until"], found["years"]) == ("member", "2023-05-01", None, 0)
    assert found["progress"] == [
        {
            "counter": "year_miles",
            "value": 0,
            "from": "2024-01-01",
            "until": "2024-12-31",
            "next": {"tier": "silver", "needs": 25000},
        }
    ]


def test_a_program_without_tiers_has_none() -> None:
    assert msgspec.json.decode(tier_shown(None, None, JOINED, JOINED))["name"] is None


def test_what_was_said_is_shown_while_its_year_lasts() -> None:
    found = shown(GOLD, datetime(2024, 12, 31, 12, tzinfo=UTC))
    assert found == {name: value for name, value in GOLD.items() if name != "years_from"}


def test_years_pass_between_events() -> None:
    found = shown(GOLD, datetime(2025, 1, 1, 6, tzinfo=UTC))
    assert found["years"] == 1
    assert found["progress"] == [{**YEAR, "value": 0, "from": "2025-01-01", "until": "2025-12-31"}]


def test_in_a_sandbox_whose_clock_was_never_set_no_day_passes() -> None:
    assert shown(GOLD, None)["progress"] == [YEAR]


def test_a_rolling_window_stays_as_it_was_said() -> None:
    rolling = {"counter": "transactions", "value": 3, "from": "2023-01-02", "until": "2024-01-01", "next": None}
    found = shown({**GOLD, "progress": [rolling]}, datetime(2025, 1, 1, tzinfo=UTC), "bank-classes")
    assert found["progress"] == [rolling]


def test_a_year_of_membership_begins_anew_with_its_anniversary() -> None:
    said = {"counter": "year_nights", "value": 3, "from": "2023-05-01", "until": "2024-04-30", "next": None}
    found = shown({**GOLD, "progress": [said]}, datetime(2024, 5, 1, tzinfo=UTC), "hanting")
    assert found["progress"] == [{**said, "value": 0, "from": "2024-05-01", "until": "2025-04-30"}]
