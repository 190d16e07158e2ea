"""The examples of every shipped program, judged by the road itself: what paper says, the service says too."""

import pytest

from laurel.program.cases import Case, Step, cases_path, changed, instant_of, load_cases
from services.points.ports import WalletKey
from tests.points.playing import check, check_balances, let_time_pass, play
from tests.points.till import Till, document, enrolment
from tests.program.played import NAMES, file_of
from tests.program.played import SHIPPED as PROGRAMS

pytestmark = pytest.mark.anyio

CASES = [
    pytest.param(name, case, id=f"{name}-{case.case}")
    for name in NAMES
    for case in load_cases(cases_path(file_of(name)).read_text()).cases
]


@pytest.mark.parametrize(("name", "case"), CASES)
async def test_example_holds_on_the_road(name: str, case: Case) -> None:
    # Time must pass by itself here: nobody turns the clock of a sandbox.
    till = Till(changed(document(name, clock="wall"), case.changes))
    till.at = case.member.enrolled_at or instant_of(case.steps[0])
    await till.enrol(attributes=dict(case.member.attributes))
    for friend in case.friends:
        await till.send(enrolment(till.program, friend, till.at, referred_by=till.member))
    for member, each in case.members.items():
        await till.send(enrolment(till.program, member, each.enrolled_at or till.at, attributes=dict(each.attributes)))
    for number, step in enumerate(case.steps):
        till.at = max(till.at, instant_of(step))
        said = await play(till, step, number)
        check(till, step.expect, said)
        for other, units in (step.expect.others or {}).items():
            await let_time_pass(till, other)
            check_balances(till.ledger.wallets[WalletKey(till.program, other)], units)
        if step.activity is not None:
            _check_counters(till, step)


def _check_counters(till: Till, step: Step) -> None:
    assert step.activity is not None
    partner = step.activity.get("partner", "shop")
    posting = till.wallet.postings.get((partner, step.activity.get("of", step.activity["id"])))
    for name, amount in (step.expect.counted or {}).items():
        assert posting is not None
        found = [
            counter
            for counter in till.wallet.counters.values()
            if counter.counter.startswith(f"cap/{name}/")
            and counter.start <= posting.occurred_at
            and (counter.end is None or posting.occurred_at < counter.end)
        ]
        assert sum(counter.counted for counter in found) == amount
        assert len(found) <= 1


def test_there_are_examples_for_every_program() -> None:
    programs = {path.stem for path in PROGRAMS.glob("*.yaml") if "." not in path.stem}
    assert {path.stem.removesuffix(".cases") for path in PROGRAMS.glob("*.cases.yaml")} == programs
