"""What is wrong with conversions: of which points, from how many, and two that are due at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from laurel.program.document import Conversion, Unit

_Found = tuple[tuple[str | int, ...], str, str]


def conversion_faults(
    index: int, conversion: Conversion, others: Mapping[int, Conversion], units: Mapping[str, Unit | None] | None
) -> Iterator[_Found]:
    """Yield what is wrong with one conversion, by its place among the others."""
    before = {place: other for place, other in others.items() if place < index}
    for place, other in before.items():
        if other.conversion == conversion.conversion:
            yield ("conversion",), "repeated", f"conversions/{place} has this name already"
            break
    if units is not None and conversion.unit not in units:
        yield ("unit",), "unknown_reference", f"there is no unit {conversion.unit} under units"
    unit = (units or {}).get(conversion.unit)
    if unit is not None and unit.counts_only:
        yield ("unit",), "not_allowed", f"{conversion.unit} only counts: it is no points, so nothing becomes of it"
    months = conversion.on.months
    for position, month in enumerate(months):
        if month in months[:position]:
            yield ("on", "months", position), "repeated", f"{month} is named twice"
    if conversion.from_ < conversion.step:
        yield ("from",), "out_of_range", f"fewer points than one step of {conversion.step} become nothing"
    for place, other in before.items():
        same_day = other.on.day == conversion.on.day and set(other.on.months) & set(months)
        if other.unit == conversion.unit and same_day:
            yield ("on",), "not_allowed", f"conversions/{place} takes the same points on the same day"
            break
