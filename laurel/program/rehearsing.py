"""A case played on paper: one member, one program, no database and no broker.

It follows the shared rules as plainly as they are written (S2 to S7, S9 to S11), so that a program can be tried while
it is written, and so that the points service has something independent to agree with. Tiers are the exception: paper
asks the same functions of `climbing` as the service does, and would only copy them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.errors import Refused
from laurel.program.cases import changed, instant_of
from laurel.program.compiled import CompiledProgram
from laurel.program.rehearsing_differences import differences
from laurel.program.rehearsing_sharing import Sharing
from laurel.program.rehearsing_stage import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laurel.program.cases import Case, Step
    from laurel.program.rehearsing_paper import Seen

MEMBER = "m-1"
"""The member of a case, as its friends know it."""


def rehearse(program: CompiledProgram, case: Case) -> list[str]:
    """Play a case; return where it came out otherwise than expected, a sentence each."""
    if case.changes:
        program = CompiledProgram.from_document(changed(program.document, case.changes), program.version)
    enrolled_at = case.member.enrolled_at or instant_of(case.steps[0])
    stages = {MEMBER: Stage(program, case.member, enrolled_at)}
    stages |= {name: Stage(program, type(case.member)(), enrolled_at) for name in case.friends}
    stages |= {name: Stage(program, each, each.enrolled_at or enrolled_at) for name, each in case.members.items()}
    for name, stage in stages.items():
        stage.town = {other: its for other, its in stages.items() if other != name}
        # All draw from the same budgets.
        stage.drawn = stages[MEMBER].drawn
    for name in case.friends:
        stages[name].referred_by = MEMBER
    sharing = Sharing(program, stages)
    for stage in stages.values():
        stage.into = sharing.into
    town = Town(stages, sharing)
    return [
        f"{case.case}, step {number}: {said}"
        for number, step in enumerate(case.steps, 1)
        for said in differences(town.play(step), step.expect)
    ]


class Town:
    """All members of a case. What the one it is about sees is what a step is compared with."""

    def __init__(self, stages: Mapping[str, Stage], sharing: Sharing) -> None:
        self._stages = stages
        self._sharing = sharing

    def play(self, step: Step) -> Seen:
        """Do what a step says; return what came of it for the member, and how the others stand."""
        at, main, name = instant_of(step), self._stages[MEMBER], self._who(step)
        for other, stage in self._stages.items():
            if stage is not main and other not in self._sharing.into:
                stage.arrive(at)
        if name is None:
            seen = main.witness(at, lambda: self._share(step))
        else:
            if step.spend is not None:
                main.arrive(at)
                self._sharing.lend(name, step.spend.unit, step.spend.amount)
            actor = self._stages[name]
            seen = main.play(step) if actor is main else main.witness(at, lambda: actor.play(step).refused)
            # What is its own past's, or came back of what others did, goes on to whoever answers for an account.
            for part in self._sharing.into:
                self._sharing.pass_on(part)
            if self._sharing.into:
                main.tell(seen)
        seen.others = {name: stage.purse.balances() for name, stage in self._stages.items() if stage is not main}
        return seen

    def _who(self, step: Step) -> str | None:
        """Return whose step it is: an account that is a part of another answers for its own past alone."""
        if step.transfer or step.household or step.merge or step.unmerge:
            return None
        if step.spend is not None:
            return self._sharing.survivor(step.spend.member or MEMBER)
        activity = step.activity or {}
        for name in self._sharing.into:
            if self._stages[name].knows(activity.get("of")):
                return name
        return self._sharing.survivor(str(activity.get("member", MEMBER)))

    def _share(self, step: Step) -> str | None:
        try:
            if step.transfer is not None:
                self._sharing.give(step.transfer)
            elif step.household is not None:
                self._sharing.settle(step.household)
            elif step.merge is not None:
                self._sharing.merge(step.merge)
            elif step.unmerge is not None:
                self._sharing.unmerge(step.unmerge.member, step.unmerge.at)
        except Refused as refusal:
            return refusal.code
        return None
