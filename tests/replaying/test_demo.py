"""What the demo prints, from answers in the contract's shapes."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from laurel.cli import demo, replay
from laurel.replaying.summary import ReplaySummary
from laurel.replaying.touring import Bought, Earner


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=120)


def said(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_replay(console: Console) -> None:
    summary = ReplaySummary(sent=30, enrolled=3, posted=20, duplicate=9, refused=1, seconds=2.0)
    summary.awarded["point"] = 12_345
    summary.codes["claim_too_late"] = 1
    replay.show(summary, console)
    for part in ("12,345", "15 baskets/s", "claim_too_late", "duplicates (changed nothing)"):
        assert part in said(console)


def test_liability(console: Console) -> None:
    names = ("granted", "redeemed", "expired", "reversed", "adjusted", "outstanding")
    unit: dict[str, Any] = {"unit": "point", **dict.fromkeys(names, 0), "granted": 1_500}
    unit["by_funder"] = [{"partner": "grocer", "outstanding": 1_500}]
    demo._show_liability({"units": [unit]}, console)
    assert "points issued" in said(console)
    assert "funded by grocer" in said(console)


def test_only_the_first_ten_households(console: Console) -> None:
    demo._show_earners([Earner(f"hh-{number}", 100 - number, 1) for number in range(12)], console)
    assert "top 10 of 12 households" in said(console)
    assert "hh-9" in said(console)
    assert "hh-10" not in said(console)


@pytest.mark.parametrize(
    ("bought", "words"),
    [
        (Bought({}, replayed=False, code="insufficient_points", detail="150 are missing"), "150 are missing"),
        (
            Bought(
                {
                    "state": "fulfilled",
                    "points": 250,
                    "vouchers": [{"code": "AB-12", "value": 500, "expires_at": "2027-01-01T00:00:00Z"}],
                },
                replayed=False,
            ),
            "voucher AB-12, worth $5.00, good until 2027-01-01",
        ),
        (
            Bought(
                {
                    "state": "fulfilled",
                    "points": 250,
                    "vouchers": [{"suffix": "12", "value": {"amount": 505, "currency": "USD"}, "expires_at": "x"}],
                },
                replayed=True,
            ),
            "voucher …12, worth $5.05",
        ),
    ],
)
def test_a_reward(console: Console, bought: Bought, words: str) -> None:
    demo._show_bought(bought, console)
    assert words in said(console)


def test_a_member_and_its_statement(console: Console) -> None:
    balance = {"unit": "point", "available": 93, "lifetime": {"earned": 343}}
    balance["next_expiry"] = {"amount": 93, "on": "2018-12-31"}
    demo._show_member({"balances": [balance]}, console)
    journal = {
        "kind": "activity",
        "cause": "cj-1",
        "occurred_at": "2017-01-01T15:48:00Z",
        "entries": [
            {"unit": "point", "account": "available", "amount": 343},
            {"unit": "point", "account": "issuance", "amount": -343},
        ],
    }
    demo._show_statement([journal], console)
    for part in ("93 points available", "good until 2018-12-31", "2017-01-01 10:48", "+343"):
        assert part in said(console)


def test_a_member_without_points(console: Console) -> None:
    demo._show_member({"balances": []}, console)
    assert "0 points available" in said(console)
