"""What a redemption was promised: its price, how it is paid, and what it set aside of things that are counted."""

from __future__ import annotations

from datetime import date

import msgspec

from services.redemption.domain.heard import Money, Rate


class Draw(msgspec.Struct, frozen=True):
    """So much of something of which there is only so much: `amount` of `of`, where others may hold the rest."""

    name: str
    amount: int
    of: int


class Bargain(msgspec.Struct, frozen=True, omit_defaults=True):
    """`price` is the whole price in points.

    With `least` as many points are held as there are, so many at least. What `cost` is in money and points do not pay
    at the `rate` is `to_pay`. `drawn` is what it has of seats, limits and one-time keys until they are given back.
    """

    price: int = 0
    least: int | None = None
    cost: Money | None = None
    rate: Rate | None = None
    to_pay: Money | None = None
    quantity: int = 1
    party: int = 1
    drawn: tuple[Draw, ...] = ()
    honoured_by: str | None = None
    beneficiary: str | None = None
    for_other: bool = False
    on: date | None = None


NOTHING = Bargain()

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Bargain)


def encode_bargain(bargain: Bargain) -> bytes:
    """Write a bargain as the JSON that a saga's row keeps."""
    return _encoder.encode(bargain)


def decode_bargain(raw: bytes) -> Bargain:
    """Read what `encode_bargain` wrote."""
    return _decoder.decode(raw)
