"""The programs that the benchmarks make are ones that a merchant could write, and their rules mean something."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks.feed import real_baskets
from benchmarks.made_programs import SIZES, program_of
from benchmarks.rules import disagreements
from laurel.contracts.asking import ActivityReported
from laurel.program import CompiledProgram, load_program
from laurel.shapes import decoder_of


@pytest.mark.parametrize("rules", SIZES)
def test_so_many_rules_without_a_fault(rules: int) -> None:
    name, document = program_of(rules)
    program = load_program(document, name)
    assert len(program.earning) == rules
    assert len({rule.model_dump_json(exclude={"rule"}) for rule in program.earning}) == rules


def test_every_kind_of_offer_asks_something_else() -> None:
    _, document = program_of(300)
    kinds = {rule["rule"].rstrip("0123456789").rstrip("-") for rule in document["earning"][3:]}
    assert len(kinds) == 10


def test_offers_are_about_some_baskets() -> None:
    name, document = program_of(300)
    program = CompiledProgram.from_document(load_program(document, name), 1)
    read = decoder_of(ActivityReported).decode
    baskets = [read(event.body).activity for event in islice(real_baskets(name, 8_000), 0, None, 40)]
    fired = [sum(outcome.computed > 0 for outcome in program.judge(basis, {})) for basis in baskets]
    assert 1 < sum(fired) / len(fired) < 4
    assert max(fired) > 3


def test_a_rule_says_the_same_alone_and_among_others() -> None:
    name, document = program_of(40)
    events = list(islice(real_baskets(name, 2_000), 0, None, 100))
    assert disagreements(load_program(document, name), events) == []
