"""Members who share a wallet: what happened to the household of one of them."""

from __future__ import annotations

import msgspec

from services.points.domain.fact import Fact


class Household(msgspec.Struct, frozen=True, array_like=True):
    """A household as each of its members knows it; `pooling`: what one of them cannot pay the others do."""

    household: str
    members: tuple[str, ...]
    pooling: bool


class HouseholdChanged(Fact, frozen=True, tag=True):
    """The member belongs to a household as it is now, or to none any more."""

    household: str
    now: Household | None = None
