"""A basket as the public contract says it: a purchase with its lines; and a household as a member."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from laurel.replaying.complete_journey import Basket, Product, Sold

CURRENCY = "USD"


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the till's receipt."""

    id: str
    sku: str
    quantity: int
    amount: int
    category: str | None = None
    brand: str | None = None
    attributes: dict[str, str] = {}


class Purchase(msgspec.Struct, frozen=True, omit_defaults=True):
    """A purchase as `POST …/activities` takes it."""

    id: str
    type: str
    member: str
    occurred_at: str
    currency: str
    amount: int
    store: str
    channel: str
    lines: list[Line]


class Enrolment(msgspec.Struct, frozen=True, omit_defaults=True):
    """A household as `POST …/members` takes it."""

    member: str
    enrolled_at: str


def purchase(basket: Basket, products: Mapping[int, Product]) -> Purchase:
    """Say a basket as an activity: always the same one, so that sending it twice changes nothing."""
    return Purchase(
        id=f"cj-{basket.id}",
        type="purchase",
        member=member_id(basket.household),
        occurred_at=basket.occurred_at.isoformat(),
        currency=CURRENCY,
        amount=basket.cents,
        store=f"s-{basket.store}",
        channel="store",
        lines=[_line(number, row, products.get(row.product)) for number, row in enumerate(basket.sold, 1)],
    )


def enrolment(first: Basket) -> Enrolment:
    """Enrol a household at the time of its first basket, so that nothing it bought lies before."""
    return Enrolment(member=member_id(first.household), enrolled_at=first.occurred_at.isoformat())


def member_id(household: int) -> str:
    return f"hh-{household}"


def encode(value: Purchase | Enrolment) -> bytes:
    return _encoder.encode(value)


def ndjson(activities: list[bytes]) -> bytes:
    """Join encoded activities into the body of a batch."""
    return b"\n".join(activities) + b"\n" if activities else b""


_encoder = msgspec.json.Encoder()


def _line(number: int, row: Sold, product: Product | None) -> Line:
    sku = str(row.product)
    if product is None:
        return Line(str(number), sku, row.quantity, row.cents)
    attributes = _attributes(product.department, product.manufacturer)
    return Line(str(number), sku, row.quantity, row.cents, product.category, product.brand, attributes)


@lru_cache(maxsize=65_536)
def _attributes(department: str | None, manufacturer: int | None) -> dict[str, Any]:
    """Return the attributes of a line; the few thousand different ones are shared, as nobody changes them."""
    said: dict[str, str] = {}
    if department is not None:
        said["department"] = department
    if manufacturer is not None:
        said["manufacturer"] = str(manufacturer)
    return said
