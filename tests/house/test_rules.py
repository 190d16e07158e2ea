"""The rules of the house hold, and each of them bites."""

from __future__ import annotations

import pytest

from tests.house.rules import ROOT, RULES, Rule

for_each_rule = pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])


@for_each_rule
def test_rule_holds(rule: Rule) -> None:
    broken = [
        f"{file.relative_to(ROOT)}:{number}: {line}"
        for file in rule.files()
        for number, line in rule.broken_by(file.read_text(encoding="utf-8"))
    ]
    assert not broken, f"{rule.why}:\n" + "\n".join(broken)


@for_each_rule
def test_rule_bites(rule: Rule) -> None:
    assert list(rule.broken_by(rule.bites))
    assert not list(rule.broken_by(rule.spares))


@for_each_rule
def test_rule_can_be_waived_on_a_line(rule: Rule) -> None:
    waiver = f"# house: allow {rule.name}, because this is a test"
    assert not list(rule.broken_by(f"{rule.bites}  {waiver}"))
    assert not list(rule.broken_by(f"{waiver}\n{rule.bites}"))
    assert list(rule.broken_by(f"{rule.bites}  # house: allow another"))


@for_each_rule
def test_rule_has_places_to_hold_in(rule: Rule) -> None:
    for place in rule.places:
        assert any(ROOT.glob(place)), f"nothing matches {place}"
