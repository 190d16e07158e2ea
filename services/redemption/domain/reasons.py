"""Why a member does not get a reward: each reason by its code, in a sentence, with the figures that explain it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class Reason(msgspec.Struct, frozen=True):
    """One thing that stands in the way. `code` is what a caller is told by."""

    code: str
    detail: str
    facts: dict[str, Any] = {}


def not_eligible(detail: str, why: str) -> Reason:
    """Say that the reward is not for this member, or not for this."""
    return Reason("not_eligible", detail, {"why": why})


def invalid(detail: str, pointer: str, fault: str = "not_allowed") -> Reason:
    """Say that a request does not fit its reward: where, and what is wrong."""
    return Reason("invalid", detail, {"pointer": pointer, "fault": fault})


def told_together(reasons: Sequence[Reason]) -> Reason:
    """Return the reason that a refusal names: the first one, and of what does not fit all of it."""
    first = reasons[0]
    if first.code != "invalid":
        return first
    faults = [
        {"pointer": each.facts["pointer"], "code": each.facts["fault"], "detail": each.detail}
        for each in reasons
        if each.code == "invalid"
    ]
    return Reason(first.code, first.detail, {"pointer": first.facts["pointer"], "errors": faults})
