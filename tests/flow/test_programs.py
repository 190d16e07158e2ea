"""The examples of the shipped programs through real processes, up to where a clock is turned or points are spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from laurel.program import dump_program, load_program
from laurel.program.cases import Case, Expected, Step, load_cases
from tests.flow.stage import Door, Town

pytestmark = pytest.mark.anyio

PROGRAMS = Path(__file__).parents[2] / "programs"
# Where members have tiers the examples go over years, and a sandbox whose clock nobody turns reviews nobody: those are
# played through the store, and tests/flow/test_tiers.py takes tiers through real processes. So it is with segments.
NAMES = sorted(
    name
    for path in PROGRAMS.glob("*.cases.yaml")
    for name in [path.stem.removesuffix(".cases")]
    for program in [load_program((PROGRAMS / f"{name}.yaml").read_bytes())]
    if program.tiers is None and not program.segments
)


@pytest.mark.parametrize("name", NAMES)
async def test_examples_hold_for_callers(town: Town, name: str) -> None:
    door = town.door()
    document = dump_program(load_program((PROGRAMS / f"{name}.yaml").read_bytes()))
    # Each program by itself: the examples of two may name the same coupon.
    document.pop("exclusive_group", None)
    await door.publish(document)
    cases = load_cases((PROGRAMS / f"{name}.cases.yaml").read_text()).cases
    reported = [step.activity for case in cases for step in case.steps if step.activity is not None]
    for partner in {activity["partner"] for activity in reported if "partner" in activity}:
        answer = await door.ask("PUT", f"partners/{partner}", {"name": partner})
        assert answer.status_code in {200, 201}, answer.text
    for number, case in enumerate(cases):
        if not case.changes:
            await play(door, name, f"m-{number}", case)
    await town.prove()


async def play(door: Door, program: str, member: str, case: Case) -> None:
    first = case.steps[0].activity
    assert first is not None
    enrolled_at = case.member.enrolled_at.isoformat() if case.member.enrolled_at else first["occurred_at"]
    body = {"member": member, "enrolled_at": enrolled_at, "attributes": dict(case.member.attributes)}
    await door.call("POST", f"programs/{program}/members", body, 201)
    for step in case.steps:
        # Before its clock is first turned nothing is late in a sandbox, and nothing expires.
        if step.activity is None or step.expect.refused == "claim_too_late":
            return
        if "payer" in step.activity:
            payer = {"member": step.activity["payer"]["id"], "enrolled_at": enrolled_at}
            await door.call("POST", f"programs/{program}/members", payer, 201)
        await check(door, program, member, step)


async def check(door: Door, program: str, member: str, step: Step) -> None:
    assert step.activity is not None
    expected: Expected = step.expect
    body = {"member": member, **step.activity}
    said = await door.report(program, body, 409 if expected.refused else 201)
    if expected.refused:
        assert said["code"] == expected.refused
        if expected.refused == "already_credited":
            assert said["credited"] == {"program": program}
    if expected.awards is not None:
        assert summed(award for award in said["awards"] if award["member"] == member) == expected.awards
    if expected.capped is not None:
        cuts = {judged["rule"]: judged["capped_by"] for judged in said["decision"] if judged["capped_by"]}
        assert {rule: {cut["cap"]: cut["cut"] for cut in cut_by} for rule, cut_by in cuts.items()} == expected.capped
    if expected.reasons is not None:
        reasons = {judged["rule"]: judged["reason"] for judged in said["decision"]}
        assert {rule: reasons[rule] for rule in expected.reasons} == expected.reasons
    if expected.balances is not None:
        shown = await door.call("GET", f"programs/{program}/members/{member}")
        balances = {each["unit"]: each for each in shown["balances"]}
        for unit, balance in expected.balances.items():
            wanted = balance.model_dump(exclude_none=True)
            assert {key: balances.get(unit, {}).get(key, 0) for key in wanted} == wanted


def summed(awards: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for award in awards:
        found[award["rule"]] = found.get(award["rule"], 0) + award["amount"]
    return found
