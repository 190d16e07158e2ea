"""An activity as a caller reports it, the rules across its fields, and the hash that knows a repeat."""

from collections.abc import Iterator
from datetime import UTC
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import ConfigDict, Field

from laurel.contracts.envelope import Body
from laurel.contracts.hashing import HASH_VERSION, as_struct, hash_of_canonical
from laurel.errors import Fault, Problem
from laurel.values import (
    Attributes,
    Currency,
    Id,
    Instant,
    Name,
    NotNegative,
    PartnerId,
    Reference,
)

WORD_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,63}$"
LINES_MAX: Final = 2000

Word = Annotated[str, Field(pattern=WORD_PATTERN)]


class Identifier(Body):
    """A number by which a member is known, such as that of a card."""

    scheme: Word
    value: Name


class Line(Body):
    """One line of a basket, or of a return: there the `quantity` or the `amount` that comes back.

    `amount` is the price of the whole line before vouchers and points. A `quantity` not given counts as 1.
    """

    id: Id
    sku: Name | None = None
    quantity: NotNegative | None = None
    amount: NotNegative | None = None
    category: Name | None = None
    brand: Name | None = None
    attributes: Attributes = Field(default_factory=dict)


class Tender(Body):
    """How a part was paid. It spends nothing; `ref` names the voucher's use, the hold or the redemption."""

    kind: Word
    amount: NotNegative
    ref: Reference | None = None


class Payer(Body):
    """Who paid, when it is not the member."""

    id: Id
    kind: Word
    policy: Word | None = None


class Activity(Body):
    """What a member did: a purchase, a return, a flight, a stay, or any word that the program names.

    Without `lines` and `amount` a return takes back all; with `tenders: []` it gives back nothing that the
    tenders name, which is why no tenders and an empty list are two things.
    """

    id: Id
    type: Word
    member: Id | Identifier | None = None
    occurred_at: Instant
    currency: Currency | None = None
    amount: NotNegative | None = None
    partner: PartnerId | None = None
    store: Id | None = None
    channel: Name | None = None
    lines: Annotated[list[Line], Field(max_length=LINES_MAX)] = Field(default_factory=list)
    tenders: Annotated[list[Tender], Field(max_length=100)] | None = None
    attributes: Attributes = Field(default_factory=dict)
    of: Id | None = None
    by: Literal["member", "provider"] | None = None
    exclusive_key: Reference | None = None
    payer: Payer | None = None
    referrer: Id | None = None
    campaign: Id | None = None


class QuotedActivity(Activity):
    """What `quotes` takes: an activity that did not happen, so it may lack its id."""

    id: Id | None = None  # type: ignore[assignment]  # wider on purpose: nobody reads a quote as an activity


class ReportedLine(Line):
    """A line as events carry it: fields added later are ignored."""

    model_config = ConfigDict(extra="ignore")


class ReportedTender(Tender):
    """A tender as events carry it."""

    model_config = ConfigDict(extra="ignore")


class ReportedPayer(Payer):
    """A payer as events carry it."""

    model_config = ConfigDict(extra="ignore")


class ReportedActivity(Activity):
    """An activity as events carry it: its member is resolved, no identifier travels."""

    model_config = ConfigDict(extra="ignore")

    member: Id | None = None
    lines: Annotated[list[ReportedLine], Field(max_length=LINES_MAX)] = Field(default_factory=list)  # type: ignore[assignment]  # read only
    tenders: Annotated[list[ReportedTender], Field(max_length=100)] | None = None  # type: ignore[assignment]
    payer: ReportedPayer | None = None


def check(activity: Activity) -> list[Fault]:
    """Return what is wrong across the fields of an activity whose fields are right by themselves."""
    rules = _return_faults(activity) if activity.type == "return" else _other_faults(activity)
    return [*_repeated_lines(activity), *rules]


def problem_of(faults: list[Fault]) -> Problem:
    """Return the problem for faults that `check` found: a code of its own where they all share one."""
    codes = {fault.code for fault in faults}
    own = codes & {"lines_do_not_sum", "tenders_exceed_amount"}
    if len(codes) == 1 and own:
        return Problem(own.pop(), faults[0].detail, errors=faults)
    return Problem("invalid", errors=faults)


def content_hash(activity: Activity, version: int = HASH_VERSION) -> str:
    """Return the hash of what was asked, which tells a repeat from another activity under the same id.

    Identifiers stay unresolved, instants are in UTC, fields at their default are left out. So is the
    partner: it is the key's own by default, and part of the activity's identity anyway.
    """
    struct: Any = as_struct(activity)
    changes: dict[str, Any] = {"partner": None}
    if struct.occurred_at.tzinfo is not UTC:
        changes["occurred_at"] = struct.occurred_at.astimezone(UTC)
    if struct.tenders == [] and struct.type != "return":
        changes["tenders"] = None
    if struct.by == "provider":
        changes["by"] = None
    return hash_of_canonical(msgspec.structs.replace(struct, **changes), version)


def _repeated_lines(activity: Activity) -> Iterator[Fault]:
    lines = activity.lines
    if len({line.id for line in lines}) == len(lines):
        return
    seen: set[str] = set()
    for index, line in enumerate(lines):
        if line.id in seen:
            yield Fault(f"/lines/{index}/id", "repeated", f"Line {line.id} is there twice")
        seen.add(line.id)


def _other_faults(activity: Activity) -> Iterator[Fault]:
    amount, lines, tenders = activity.amount, activity.lines, activity.tenders
    if activity.by is not None:
        yield Fault("/by", "not_allowed", "Only a return says by whom it is")
    total = amount
    if lines:
        unpriced = [index for index, line in enumerate(lines) if line.amount is None]
        for index in unpriced:
            yield Fault(f"/lines/{index}/amount", "missing", "A line needs its amount")
        if not unpriced:
            summed = sum(line.amount for line in lines)  # type: ignore[misc]
            if amount is not None and amount != summed:
                yield Fault("/lines", "lines_do_not_sum", f"The lines sum to {summed}, not to {amount}")
            total = summed if amount is None else amount
    if tenders:
        paid = sum(tender.amount for tender in tenders)
        if total is None:
            yield Fault("/amount", "missing", "Tenders need an amount or lines to pay")
        elif paid > total:
            yield Fault("/tenders", "tenders_exceed_amount", f"The tenders sum to {paid}, more than {total}")
    if activity.currency is None and (amount is not None or lines):
        yield Fault("/currency", "missing", "An amount needs its currency")


def _return_faults(activity: Activity) -> Iterator[Fault]:
    if activity.of is None:
        yield Fault("/of", "missing", "A return names the activity it takes back")
    elif activity.of == activity.id:
        yield Fault("/of", "not_allowed", "A return cannot take itself back")
    if activity.amount == 0:
        yield Fault("/amount", "out_of_range", "What is returned is positive")
    summed = 0
    by_quantity = False
    for index, line in enumerate(activity.lines):
        if (line.quantity is None) == (line.amount is None):
            yield Fault(f"/lines/{index}", "quantity_or_amount", "Say a quantity or an amount")
        elif line.amount is not None:
            summed += line.amount
            if line.amount == 0:
                yield Fault(f"/lines/{index}/amount", "out_of_range", "What is returned is positive")
        else:
            by_quantity = True
            if line.quantity == 0:
                yield Fault(f"/lines/{index}/quantity", "out_of_range", "What is returned is positive")
    # A line by quantity has its amount from the purchase, so only the points service can add those up.
    if activity.lines and not by_quantity and activity.amount not in (None, summed):
        yield Fault("/lines", "lines_do_not_sum", f"The lines sum to {summed}, not to {activity.amount}")
