"""What the benchmark of many lots asks of its two members is the same, and what they may be asked."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.lots import FEW, LOTS, MANY, ROUNDS_MAX, Deed, purchased, returned
from laurel.contracts.activity import Activity, check
from laurel.shapes import decoder_of

_decode = decoder_of(Activity).decode


def test_how_many_times_as_long() -> None:
    deed = Deed("hold", {FEW: [0.001, 0.002, 0.001], MANY: [0.003, 0.001, 0.9]})
    assert deed.times == pytest.approx(3.0)
    assert deed.median_ms(FEW) == pytest.approx(1.0)


@pytest.mark.parametrize("member", [FEW, MANY])
def test_purchases_and_returns_are_what_the_contract_takes(member: str) -> None:
    for note in (purchased(member, 3, LOTS[member]), returned(member, 3)):
        activity = _decode(msgspec.json.encode(msgspec.json.decode(note.body)["activity"]))
        assert check(activity) == []
        assert activity.member == member


def test_nothing_is_returned_twice_and_only_what_was_bought() -> None:
    bought = {msgspec.json.decode(purchased(FEW, number, LOTS[FEW]).body)["activity"]["id"] for number in range(10)}
    back = [msgspec.json.decode(returned(FEW, number).body)["activity"] for number in range(ROUNDS_MAX)]
    assert {each["of"] for each in back} <= bought
    assert len({(each["of"], each["lines"][0]["id"]) for each in back}) == ROUNDS_MAX
