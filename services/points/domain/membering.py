"""What a member is changes, or it takes part no more.

What a closed member has stays its own and comes to its own end; it earns nothing any more and nothing of it is held.
"""

from __future__ import annotations

from typing import Final

from services.points.domain.asked import ChangeMember, CloseMember
from services.points.domain.birthdays import await_another
from services.points.domain.facts import AnyFact, MemberChanged, MemberChangeRefused, MemberClosed
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet

ATTRIBUTES_MAX: Final = 100
"""How many attributes a member has at the most: what an event of the contract carries."""


def change(wallet: Wallet, asked: ChangeMember, moment: Moment) -> tuple[AnyFact, ...]:
    """Change person and attributes; activities that were judged before stay as they were judged."""
    refused = _refusal(wallet, asked.change, "change")
    if refused is not None:
        return (refused,)
    attributes = {**wallet.attributes, **asked.attributes}
    if len(attributes) > ATTRIBUTES_MAX:
        detail = f"A member has at most {ATTRIBUTES_MAX} attributes"
        return (MemberChangeRefused(change=asked.change, asked="change", code="limit_reached", detail=detail),)
    program = moment.programs.in_force(wallet.program, moment.at, asked.versions.program)
    return (
        MemberChanged(change=asked.change, person=asked.person or wallet.person, attributes=attributes),
        *await_another(wallet, program, attributes, moment.at),
    )


def close(wallet: Wallet, asked: CloseMember, _moment: Moment) -> tuple[AnyFact, ...]:
    """Close the member, unless something of it is held: then whoever holds it has to end that first."""
    refused = _refusal(wallet, asked.change, "close")
    if refused is not None:
        return (refused,)
    if any(balance.held for balance in wallet.balances.values()):
        detail = "Points of the member are held; capture or release them first"
        return (MemberChangeRefused(change=asked.change, asked="close", code="hold_open", detail=detail),)
    return (MemberClosed(change=asked.change),)


def _refusal(wallet: Wallet, name: str, asked: str) -> MemberChangeRefused | None:
    if wallet.status == "active":
        return None
    code, detail = "member_unknown", "The member is not enrolled"
    if wallet.exists:
        code, detail = "member_not_active", f"The member is {wallet.status}"
    return MemberChangeRefused(change=name, asked=asked, code=code, detail=detail)
