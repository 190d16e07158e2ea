"""What is wrong with transfers and exchanges, across the parts of a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.contracts.reading import pointer_to
from laurel.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from laurel.program.document import Exchange, Transfers, Unit

Path = tuple[str | int, ...]


def sharing_faults(
    program: str | None,
    units: Mapping[str, Unit | None] | None,
    transfers: Mapping[str, Transfers | None],
    exchanges: Mapping[int, Exchange],
) -> Iterator[Fault]:
    """Yield what is wrong, in document order."""
    for unit, terms in transfers.items():
        path: Path = ("transfers", unit)
        yield from _unit(unit, units, path)
        if terms is not None:
            yield from _limits(terms, path)
    for index, exchange in exchanges.items():
        path = ("exchanges", index)
        yield from _unit(exchange.unit, units, (*path, "unit"))
        yield from _exchange(index, exchange, exchanges, program)


def _unit(name: str, units: Mapping[str, Unit | None] | None, path: Path) -> Iterator[Fault]:
    if units is not None and name not in units:
        yield Fault(pointer_to(path), "unknown_reference", f"there is no unit {name} under units")
    unit = (units or {}).get(name)
    if unit is not None and unit.counts_only:
        yield Fault(pointer_to(path), "not_allowed", f"{name} only counts: there are no points of it")


def _limits(terms: Transfers, path: Path) -> Iterator[Fault]:
    least = terms.least or 1
    if terms.most is not None and terms.most < least:
        yield Fault(
            pointer_to((*path, "most")), "out_of_range", f"at least {least} and at most {terms.most} is nothing"
        )
    for key in ("given", "received"):
        limit = getattr(terms, key)
        if limit is not None and limit.points < least:
            detail = f"a window that lets {limit.points} through lets no {least} through"
            yield Fault(pointer_to((*path, key, "points")), "out_of_range", detail)


def _exchange(
    index: int, exchange: Exchange, exchanges: Mapping[int, Exchange], program: str | None
) -> Iterator[Fault]:
    path: Path = ("exchanges", index)
    if exchange.to == program:
        yield Fault(pointer_to((*path, "to")), "not_allowed", "an exchange leads to another program")
    for place, other in exchanges.items():
        if place < index and (other.unit, other.to) == (exchange.unit, exchange.to):
            detail = f"exchanges/{place} says already what {exchange.to} gives for {exchange.unit}"
            yield Fault(pointer_to((*path, "to")), "repeated", detail)
            break
    if exchange.step * exchange.rate < 1:
        detail = "a step of this size would be rounded down to nothing"
        yield Fault(pointer_to((*path, "rate")), "out_of_range", detail)
    if exchange.funding.currency is not None and exchange.funding.price is None:
        yield Fault(pointer_to((*path, "funding", "currency")), "not_allowed", "a currency goes with a price")
