"""Who takes part in a program, since when, and whether it pays for its points in advance.

What is said of a partner holds from its `since` on, over what was said before it. A partner of whom nothing was said
takes part: the program's operator gave it its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

State = Literal["applicant", "approved", "suspended", "terminated"]
Billing = Literal["netting", "prepaid"]

PARTNERS: Final = "/partners"
_LEAVING: Final = frozenset({"suspended", "terminated"})


class Terms(NamedTuple):
    """One version of what is said of a partner; without `since` it holds from the beginning."""

    version: int
    partner: str
    state: State
    since: datetime | None
    billing: Billing


def state_at(said: Iterable[Terms], at: datetime) -> State:
    """Return a partner's state at an instant, by what was said of it in the order of versions.

    Before the first of it the partner did not take part yet, unless that says that it leaves.
    """
    terms = list(said)
    for each in reversed(terms):
        if each.since is None or each.since <= at:
            return each.state
    return "applicant" if terms and terms[0].state not in _LEAVING else "approved"


def away(said: Sequence[Terms], at: datetime) -> tuple[str, str] | None:
    """Return why nothing is taken from a partner, nor spent with it, at an instant (S9), as (code, detail)."""
    if not said:
        return None
    state = state_at(said, at)
    if state == "approved":
        return None
    return "partner_not_active", f"{said[0].partner} was {state} when this happened"


def is_prepaid(said: Iterable[Terms]) -> bool:
    """Say whether a partner pays for its points in advance, by the newest that was said of it."""
    terms = list(said)
    return bool(terms) and terms[-1].billing == "prepaid"


def partners_of(program: str) -> str:
    """Return the name under which the versions of what is said of a program's partners are counted and waited for."""
    return f"{program}{PARTNERS}"
