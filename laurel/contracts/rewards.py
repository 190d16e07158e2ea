"""A reward as the catalogue keeps it."""

from typing import Literal

from laurel.contracts.envelope import Said
from laurel.contracts.fulfilment import Fulfilment
from laurel.contracts.vouchers import VoucherTerms
from laurel.values import Currency, Id, Name, NotNegative, Positive, ShortText


class Money(Said):
    """An amount in minor units of a currency."""

    amount: NotNegative
    currency: Currency


class Reward(Said):
    """Something that points buy. Without `stock` there is always one more.

    `voucher` says what its vouchers are good for; `value` and `valid_days` are the short way to say it.
    """

    reward: Id | None = None
    name: ShortText
    kind: Literal["voucher", "product"]
    unit: Name
    price: Positive
    stock: NotNegative | None = None
    value: Money | None = None
    valid_days: Positive | None = None
    voucher: VoucherTerms | None = None
    fulfilment: Fulfilment | None = None
