"""Who an activity is credited to where somebody else paid: the one who did it, or the one who paid."""

from __future__ import annotations

from laurel.contracts.activity import Activity, ReportedActivity
from laurel.program import CompiledProgram


def credited_to(program: CompiledProgram, activity: Activity, member: str) -> str:
    """Return the member whose wallet an activity belongs to: what the report says, else the program for that kind."""
    payer = activity.payer
    if payer is None:
        return member
    policy = payer.policy or program.payers.get(payer.kind)
    return payer.id if policy == "return_to_payer" else member


def may_take_back(original: ReportedActivity, back: ReportedActivity, owner: str) -> bool:
    """Say whether a return comes from one whose activity it was: who did it, or who it was credited to."""
    return back.member in {None, owner, original.member}
