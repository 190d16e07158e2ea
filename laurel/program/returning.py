"""What came back of an activity, and what is left of it for the rules.

`Returned` adds up the returns of an activity, so that every answer depends on the total alone and not on how it was
split: all parts make the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from laurel.errors import Refused
from laurel.program.bases import ActivityLike, Basis, LineLike, basis_of, quantity_of, total_of
from laurel.rounding import scaled


class ReturnLike(Protocol):
    """What a return must show: lines by quantity or amount, or an amount, or neither for all of it."""

    @property
    def amount(self) -> int | None: ...
    @property
    def lines(self) -> Sequence[LineLike]: ...
    @property
    def attributes(self) -> Mapping[str, Any]: ...


class KeptLine(msgspec.Struct, frozen=True, gc=False):
    """What is left of a line after returns."""

    id: str
    sku: str | None
    quantity: int | None
    amount: int | None
    category: str | None
    brand: str | None
    attributes: Mapping[str, Any]


class ReturnedLine(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What came back of one line so far: pieces, and money that was given back without pieces."""

    quantity: int = 0
    amount: int = 0


class Returned(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that came back of one activity so far. Grows by `plus_return`; can be kept as JSON."""

    lines: dict[str, ReturnedLine] = {}
    amount: int = 0
    attributes: dict[str, int] = {}
    everything: bool = False


NOTHING_RETURNED: Final = Returned()


def basis_less_returns(activity: ActivityLike, returned: Returned, *, partner: str | None = None) -> Basis:
    """Return what is left of an activity for the rules after everything in `returned` came back."""
    whole = basis_of(activity, partner=partner)
    if is_all(activity, returned):
        return msgspec.structs.replace(
            whole, amount=0, lines=(), attributes={}, tender_excluded=0, line_excluded=(), kept=False
        )
    attributes = _less_attributes(whole.attributes, returned.attributes)
    if not whole.lines:
        amount, excluded = _less(whole.amount or 0, whole.tender_excluded, returned.amount)
        kept_amount = None if whole.amount is None else amount
        wholly = whole.tender_excluded > 0 and amount <= excluded
        return msgspec.structs.replace(
            whole, amount=kept_amount, tender_excluded=excluded, attributes=attributes, paid_wholly=wholly
        )
    lines: list[LineLike] = []
    line_excluded: list[int] = []
    for line, excluded in zip(whole.lines, whole.line_excluded or (0,) * len(whole.lines), strict=True):
        back = returned.lines.get(line.id)
        if back is None:
            lines.append(line)
            line_excluded.append(excluded)
        elif not _line_is_gone(line, back):
            amount, excluded_left = _less(line.amount or 0, excluded, returned_amount(line, back))
            lines.append(_kept(line, quantity_of(line) - back.quantity, amount))
            line_excluded.append(excluded_left)
    amount, excluded = sum(line.amount or 0 for line in lines), sum(line_excluded)
    return msgspec.structs.replace(
        whole,
        amount=amount,
        lines=lines,
        attributes=attributes,
        tender_excluded=excluded,
        line_excluded=tuple(line_excluded) if whole.line_excluded else (),
        # Free lines are left of what points had paid for: they earn no more than it did.
        paid_wholly=whole.tender_excluded > 0 and amount <= excluded,
    )


def plus_return(activity: ActivityLike, returned: Returned, back: ReturnLike) -> Returned:
    """Return what came back so far, with one more return; raises Refused(over_returned) where it is too much."""
    if is_all(activity, returned):
        raise Refused("over_returned", "All of it was returned before")
    if not back.lines and back.amount is None:
        return msgspec.structs.replace(returned, everything=True)
    attributes = _plus_attributes(activity, returned, back)
    if back.lines:
        lines = _plus_lines(activity, returned, back)
        return msgspec.structs.replace(returned, lines=lines, attributes=attributes)
    assert back.amount is not None
    left = (total_of(activity) or 0) - returned_total(activity, returned)
    if back.amount > left:
        raise Refused("over_returned", f"{back.amount} is returned of the {left} that are left", left=left)
    if not activity.lines:
        return msgspec.structs.replace(returned, amount=returned.amount + back.amount, attributes=attributes)
    if back.amount < left:
        raise Refused("lines_do_not_sum", "The activity has lines: the return must name those that come back")
    return msgspec.structs.replace(returned, everything=True)


def returned_total(activity: ActivityLike, returned: Returned) -> int:
    """Return how much money of an activity came back so far."""
    if returned.everything:
        return total_of(activity) or 0
    return returned.amount + sum(
        returned_amount(line, returned.lines[line.id]) for line in activity.lines if line.id in returned.lines
    )


def returned_amount(line: LineLike, back: ReturnedLine) -> int:
    """Return how much money of a line came back: by pieces, cumulatively and half up, and by amount."""
    quantity = quantity_of(line)
    by_pieces = scaled(line.amount or 0, back.quantity, quantity, "half_up") if quantity else 0
    return by_pieces + back.amount


def is_all(activity: ActivityLike, returned: Returned) -> bool:
    """Whether everything of an activity came back."""
    if returned.everything:
        return True
    if not activity.lines:
        return returned.amount > 0 and returned.amount >= (total_of(activity) or 0)
    substantial = [line for line in activity.lines if line.amount or quantity_of(line)]
    return bool(substantial) and all(
        line.id in returned.lines and _line_is_gone(line, returned.lines[line.id]) for line in substantial
    )


def _less(amount: int, excluded: int, back: int) -> tuple[int, int]:
    """What is left of an amount and of the part of it paid by points and vouchers: both go back in step."""
    if back == 0:
        return amount, excluded
    return amount - back, excluded - scaled(excluded, back, amount, "half_up")


def _line_is_gone(line: LineLike, back: ReturnedLine) -> bool:
    quantity = quantity_of(line)
    if quantity and back.quantity >= quantity:
        return True
    return back.amount > 0 and returned_amount(line, back) >= (line.amount or 0)


def _kept(line: LineLike, quantity: int, amount: int) -> KeptLine:
    return KeptLine(line.id, line.sku, quantity, amount, line.category, line.brand, line.attributes)


def _less_attributes(attributes: Mapping[str, Any], back: Mapping[str, int]) -> Mapping[str, Any]:
    if not back:
        return attributes
    return {name: value - back[name] if name in back else value for name, value in attributes.items()}


def _plus_lines(activity: ActivityLike, returned: Returned, back: ReturnLike) -> dict[str, ReturnedLine]:
    bought = {line.id: line for line in activity.lines}
    lines = dict(returned.lines)
    before = after = 0
    for part in back.lines:
        line = bought.get(part.id)
        if line is None:
            raise Refused("over_returned", f"Line {part.id} was not bought", line=part.id)
        old = lines.get(part.id, ReturnedLine())
        new = ReturnedLine(old.quantity + (part.quantity or 0), old.amount + (part.amount or 0))
        if new.quantity > quantity_of(line) or returned_amount(line, new) > (line.amount or 0):
            raise Refused("over_returned", f"More of line {part.id} is returned than was bought", line=part.id)
        before += returned_amount(line, old)
        after += returned_amount(line, new)
        lines[part.id] = new
    if back.amount is not None and back.amount != after - before:
        raise Refused("lines_do_not_sum", f"The lines come to {after - before}, the amount is {back.amount}")
    return lines


def _plus_attributes(activity: ActivityLike, returned: Returned, back: ReturnLike) -> dict[str, int]:
    attributes = dict(returned.attributes)
    for name, value in back.attributes.items():
        if type(value) is not int:
            continue
        bought = activity.attributes.get(name)
        if type(bought) is not int:
            continue
        total = attributes.get(name, 0) + value
        if value < 0 or total > bought:
            raise Refused("over_returned", f"More {name} is returned than there was", attribute=name)
        attributes[name] = total
    return attributes
