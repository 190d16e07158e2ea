"""The conditions of a reward: what is asked for and who asks, by the machinery that the rules of a program use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from laurel.program.conditions import Condition, compile_condition, condition_faults
from laurel.program.scopes import TIER, Kind, reward_scope
from services.redemption.domain.heard import Redeem, Terms
from services.redemption.domain.moment import Moment

_Declared = tuple[tuple[str, str], ...]


def holds(source: str, terms: Terms, heard: Redeem, moment: Moment) -> bool:
    """Say whether a condition is true of a request and its member; where it cannot be answered it is not.

    A later version of the program may no longer declare what it asks about.
    """
    program = moment.program
    condition = _compiled(source, _declared(terms.attributes), _declared(program.member_attributes), program.tiers)
    if condition is None:
        return False
    member: dict[str, Any] = {}
    if heard.stands is not None:
        member = {**heard.stands.attributes, TIER: heard.stands.tier}
    return condition.holds(heard, member)


def _declared(attributes: Mapping[str, str]) -> _Declared:
    return tuple(sorted(attributes.items()))


@lru_cache(maxsize=1024)
def _compiled(
    source: str,
    request: _Declared,
    member: _Declared,
    tiers: bool,  # noqa: FBT001  (cached)
) -> Condition | None:
    kinds = cast("tuple[dict[str, Kind], dict[str, Kind]]", (dict(request), dict(member)))
    scope = reward_scope(*kinds, tiers=tiers)
    return None if condition_faults(source, scope) else compile_condition(source, scope)
