"""Why a member does not get a reward: each reason by its code, in a sentence, with the figures that explain it."""

from __future__ import annotations

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


def invalid(detail: str, pointer: str) -> Reason:
    """Say that a request does not fit its reward: where, and what is wrong."""
    return Reason("invalid", detail, {"pointer": pointer})
