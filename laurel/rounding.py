"""Exact rounding of integers. Every rounding names its mode, and no float takes part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Mode = Literal["down", "up", "half_up"]


def scaled(amount: int, numerator: int, denominator: int, mode: Mode) -> int:
    """Return amount * numerator / denominator as a whole number.

    `down` goes towards zero, `up` away from it, `half_up` to the nearest with halves away from zero. A
    negative result is the mirror of the positive one, so that taking back undoes giving.
    """
    if denominator == 0:
        raise ZeroDivisionError("a rate needs a denominator other than zero")
    product = amount * numerator
    negative = (product < 0) != (denominator < 0)
    whole, rest = divmod(abs(product), abs(denominator))
    match mode:
        case "down":
            pass
        case "up":
            whole += rest > 0
        case "half_up":
            whole += 2 * rest >= abs(denominator)
        case _:
            raise ValueError(f"unknown rounding mode {mode!r}")
    return -whole if negative else whole


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """Split a total by weights so that the parts make the total again.

    Each part is the difference of two cumulative shares rounded half up, so no part depends on how the
    rest is divided. Where all weights are zero there is nothing to go by, and the last part takes it all.
    """
    if any(weight < 0 for weight in weights):
        raise ValueError("weights must not be negative")
    if not weights:
        if total:
            raise ValueError("there is nothing to split the total over")
        return []
    whole = sum(weights)
    if whole == 0:
        return [0] * (len(weights) - 1) + [total]
    parts, given, seen = [], 0, 0
    for weight in weights:
        seen += weight
        upto = scaled(total, seen, whole, "half_up")
        parts.append(upto - given)
        given = upto
    return parts
