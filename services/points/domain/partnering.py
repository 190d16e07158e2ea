"""Why nothing is taken from a partner, or spent with it, and whether it pays for its points in advance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

from laurel.partnerships import State, state_at

Billing = Literal["netting", "prepaid"]

PARTNERS: Final = "/partners"


class Terms(NamedTuple):
    """One version of what is said of a partner; without `since` it holds from the beginning."""

    version: int
    partner: str
    state: State
    since: datetime | None
    billing: Billing


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
