"""What is wrong with a reward, each fault with its pointer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from laurel.contracts.http_redeeming import PublishResource, PublishReward
from laurel.contracts.reading import read
from laurel.errors import Problem
from laurel.program.loading import load_program
from laurel.program.reward_faults import resource_faults, reward_faults

HANTING = load_program((Path(__file__).parents[2] / "programs" / "hanting.yaml").read_bytes(), "hanting", syntax="yaml")
FREE_NIGHT: dict[str, Any] = {"name": "A night", "kind": "free_night", "unit": "point", "price": 8000}


def faults_of(**more: Any) -> list[tuple[str, str]]:
    document = {key: value for key, value in {**FREE_NIGHT, **more}.items() if value is not None}
    reward = read(PublishReward, msgspec.json.encode(document))
    return [(fault.pointer, fault.code) for fault in reward_faults(reward, HANTING)]


def test_a_whole_reward_has_no_faults() -> None:
    assert faults_of() == []
    assert (
        faults_of(
            price=None,
            chart=[
                {"zone": "north", "season": "high", "tiers": ["gold"], "price": 9000},
                {"where": "request.party > 2", "price": 7000},
                {"price": 8000},
            ],
            seasons={"high": [{"from": "12-20", "until": "01-03"}, {"from": "2026-07-01", "until": "2026-08-31"}]},
            pay={"cash": True, "rate": {"points": 4, "per": 5, "currency": "CNY"}, "least": 100},
            attributes={"stay": "text", "nights": "integer"},
            eligibility={
                "tiers": ["gold"],
                "member_months": 6,
                "where": 'member.tier == "gold" && request.quantity < 3',
            },
            limits=[{"limit": "a-stay", "per": "attributes.stay", "by_tier": {"gold": 1}, "each": "attributes.nights"}],
            key="stay",
            segments=True,
            blackouts=[{"from": "02-29", "until": "02-29"}],
        )
        == []
    )


@pytest.mark.parametrize(
    ("more", "faults"),
    [
        ({"price": None}, [("/price", "missing")]),
        ({"free": True}, [("/free", "not_allowed")]),
        ({"by_amount": {"points": 1, "per": 1, "currency": "CNY"}}, [("/by_amount", "not_allowed")]),
        ({"price": None, "chart": [{"season": "high", "price": 1}]}, [("/chart/0/season", "unknown_reference")]),
        ({"seasons": {"high": [{"from": "02-30", "until": "03-01"}]}}, [("/seasons/high/0/from", "not_a_day")]),
        ({"blackouts": [{"from": "2026-02-01", "until": "03-01"}]}, [("/blackouts/0/until", "not_allowed")]),
        ({"blackouts": [{"from": "2026-03-02", "until": "2026-03-01"}]}, [("/blackouts/0/until", "not_allowed")]),
        ({"blackouts": [{"from": "2026-02-29", "until": "2026-03-01"}]}, [("/blackouts/0/from", "not_a_day")]),
        ({"pay": {"cash": True}}, [("/pay/rate", "missing")]),
        ({"unit": "mile"}, [("/unit", "unknown")]),
        ({"unit": "night"}, [("/unit", "unknown")]),
        ({"key": "vin"}, [("/key", "unknown_reference")]),
        ({"key_needed": False}, [("/key_needed", "not_allowed")]),
        ({"attributes": {"a-b": "text"}}, [("/attributes/a-b", "bad_format")]),
        ({"segments": True, "resource": "r"}, [("/resource", "not_allowed")]),
        ({"eligibility": {"tiers": ["silver", "lead"]}}, [("/eligibility/tiers/1", "unknown_reference")]),
        ({"eligibility": {"segments": ["club"]}}, [("/eligibility/segments/0", "unknown_reference")]),
        ({"eligibility": {"where": "member.age > 3"}}, [("/eligibility/where", "unknown_name")]),
        ({"eligibility": {"where": "request.quantity"}}, [("/eligibility/where", "condition_type")]),
        ({"limits": [{"limit": "a", "per": "week", "times": 1}]}, [("/limits/0/per", "unknown_reference")]),
        ({"limits": [{"limit": "a", "per": "day"}]}, [("/limits/0/times", "missing")]),
        (
            {"limits": [{"limit": "a", "per": "day", "times": 1, "by_tier": {"lead": 2}}]},
            [("/limits/0/by_tier/lead", "unknown_reference")],
        ),
        (
            {"opens_at": "2026-01-02T00:00:00Z", "closes_at": "2026-01-01T00:00:00Z"},
            [("/closes_at", "not_allowed")],
        ),
        ({"fulfilment": {"url": "https://[x"}}, [("/fulfilment/url", "bad_format")]),
        ({"fulfilment": {"url": "https://x.example:port/"}}, [("/fulfilment/url", "bad_format")]),
        ({"fulfilment": {"url": "https://:443/"}}, [("/fulfilment/url", "bad_format")]),
        ({"fulfilment": {"url": "https://me:pass@x.example/"}}, [("/fulfilment/url", "not_allowed")]),
        ({"fulfilment": {"url": "https://x.example/o?shop=7"}}, []),
    ],
)
def test_each_fault_is_named_with_its_place(more: dict[str, Any], faults: list[tuple[str, str]]) -> None:
    assert faults_of(**more) == faults


def test_a_field_that_is_not_known_is_refused_wherever_it_stands() -> None:
    body = {**FREE_NIGHT, "pay": {"cash": True, "rate": {"points": 1, "per": 1, "currency": "CNY", "x": 1}}, "y": 1}
    with pytest.raises(Problem) as refused:
        read(PublishReward, msgspec.json.encode(body))
    assert {fault.pointer for fault in refused.value.errors} == {"/pay/rate/x", "/y"}


def test_a_resource_ends_after_it_begins() -> None:
    body = {"capacity": 150, "from": "2026-03-02", "until": "2026-03-01"}
    assert [fault.pointer for fault in resource_faults(read(PublishResource, msgspec.json.encode(body)))] == ["/until"]
