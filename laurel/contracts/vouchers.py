"""What a voucher of a reward is good for, as the catalogue says it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from laurel.contracts.envelope import Said
from laurel.errors import Fault
from laurel.values import Currency, Positive, ShortText

Percent = Annotated[int, Field(ge=1, le=100)]

ONE_OF = ("value", "percent", "product")


class VoucherWorth(Said):
    """So much of a currency."""

    amount: Positive
    currency: Currency


class VoucherTerms(Said):
    """A voucher is worth a `value`, or so many `percent` of a basket, or it is good for a `product`.

    One used in `parts` is good until nothing is left. `not_above_basket`: it pays only for what costs at least as much.
    With `codes: pool` its codes are those that a partner has given us; those are used at the partner, unless they are
    `used_here`.
    """

    value: VoucherWorth | None = None
    percent: Percent | None = None
    product: ShortText | None = None
    parts: bool = False
    not_above_basket: bool = False
    valid_days: Positive | None = None
    codes: Literal["own", "pool"] | None = None
    used_here: bool | None = None


class VoucherWorthBody(VoucherWorth):
    """So much of a currency, as a caller says it."""

    model_config = ConfigDict(extra="forbid")


class VoucherTermsBody(VoucherTerms):
    """The terms as a caller says them: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    value: VoucherWorthBody | None = None


def voucher_faults(terms: VoucherTerms, pointer: str = "/voucher") -> Iterator[Fault]:
    """Say what is wrong across the fields of terms whose fields are right by themselves."""
    said = [name for name in ONE_OF if getattr(terms, name) is not None]
    if not said and terms.codes != "pool":
        yield Fault(f"{pointer}/value", "missing", "Say what it is worth: a value, a percentage or a product")
    for name in said[1:]:
        yield Fault(f"{pointer}/{name}", "not_allowed", f"It is worth its {said[0]} already")
    if terms.parts and terms.value is None:
        yield Fault(f"{pointer}/parts", "not_allowed", "Only a value can be used in parts")
    if terms.not_above_basket and terms.value is None:
        yield Fault(f"{pointer}/not_above_basket", "not_allowed", "Only a value can exceed a basket")
    if terms.codes != "pool" and terms.used_here is not None:
        yield Fault(f"{pointer}/used_here", "not_allowed", "Codes of our own are always used here")
