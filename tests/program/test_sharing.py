"""What a program says of transfers and exchanges: read, compiled, and every fault with its pointer."""

from __future__ import annotations

from typing import Any

import pytest

from laurel.program import load_program
from laurel.program.faults import ProgramFaults
from tests.program.samples import POINT, a_document, a_program

FUNDING = {"funder": "air", "price": "1.5"}
SWAP = {"unit": "point", "to": "worldwide", "into": "mile", "rate": "3/2", "funding": FUNDING}
COUNTED = {"units": {"point": POINT, "night": {"scale": 0, "counts_only": True}}}


def test_a_program_that_says_nothing_lets_nobody_give_or_exchange() -> None:
    program = a_program()
    assert (program.transfers, program.exchanges) == ({}, {})


def test_the_rate_is_exact_and_rounded_down() -> None:
    exchange = a_program(exchanges=[{**SWAP, "step": 3, "rate": "1/3"}]).exchanges["point", "worldwide"]
    assert [exchange.arrives(amount) for amount in (3, 299, 10**15)] == [1, 99, 333333333333333]
    assert (exchange.price, exchange.currency) == ("1.5", "GBP"), "a price is in the program's currency unless it says"


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"transfers": {"mile": {}}}, "/transfers/mile", "unknown_reference"),
        ({**COUNTED, "transfers": {"night": {}}}, "/transfers/night", "not_allowed"),
        ({"transfers": {"point": {"least": 5, "most": 4}}}, "/transfers/point/most", "out_of_range"),
        (
            {"transfers": {"point": {"least": 5, "given": {"points": 4, "window": "month"}}}},
            "/transfers/point/given/points",
            "out_of_range",
        ),
        ({"transfers": {"point": {"given": {"points": 4, "window": "week"}}}}, "/transfers/point/given/window", None),
        ({"transfers": {"point": {"most": 0}}}, "/transfers/point/most", None),
        ({"transfers": {"point": {"fee": 1}}}, "/transfers/point/fee", None),
        ({"exchanges": [{**SWAP, "unit": "mile"}]}, "/exchanges/0/unit", "unknown_reference"),
        ({**COUNTED, "exchanges": [{**SWAP, "unit": "night"}]}, "/exchanges/0/unit", "not_allowed"),
        ({"exchanges": [{**SWAP, "to": "sample"}]}, "/exchanges/0/to", "not_allowed"),
        ({"exchanges": [SWAP, {**SWAP, "into": "point"}]}, "/exchanges/1/to", "repeated"),
        ({"exchanges": [{**SWAP, "rate": "1/3"}]}, "/exchanges/0/rate", "out_of_range"),
        ({"exchanges": [{**SWAP, "rate": 0.5}]}, "/exchanges/0/rate", None),
        (
            {"exchanges": [{**SWAP, "funding": {"funder": "air", "currency": "GBP"}}]},
            "/exchanges/0/funding/currency",
            "not_allowed",
        ),
        ({"exchanges": [{key: SWAP[key] for key in SWAP if key != "funding"}]}, "/exchanges/0/funding", None),
    ],
)
def test_every_fault_has_its_pointer(changes: dict[str, Any], pointer: str, code: str | None) -> None:
    with pytest.raises(ProgramFaults) as raised:
        load_program(a_document(**changes))
    found = {fault.pointer: fault.code for fault in raised.value.faults}
    assert pointer in found, found
    assert code is None or found[pointer] == code


def test_faults_of_sharing_are_told_beside_others() -> None:
    with pytest.raises(ProgramFaults) as raised:
        load_program(
            a_document(name=7, transfers={"mile": {}, "point": {"most": 0}}, exchanges=[{**SWAP, "to": "sample"}])
        )
    assert {"/name", "/transfers/mile", "/transfers/point/most", "/exchanges/0/to"} <= {
        fault.pointer for fault in raised.value.faults
    }
