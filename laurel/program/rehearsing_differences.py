"""What a step of a case brought about, compared with what is expected of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from laurel.program.rehearsing_vouchers import voucher_differences

if TYPE_CHECKING:
    from laurel.program.cases import Expected
    from laurel.program.rehearsing_paper import Seen


def differences(seen: Seen, expected: Expected) -> Iterator[str]:
    """Yield where what a step brought about is not what is expected, a sentence each."""
    if seen.refused != expected.refused:
        yield f"refused {seen.refused}, expected {expected.refused}"
    if expected.awards is not None and seen.awards != expected.awards:
        yield f"awards {seen.awards}, expected {expected.awards}"
    if expected.reversals is not None:
        wanted = {rule: reversal.model_dump(exclude_none=True) for rule, reversal in expected.reversals.items()}
        if set(wanted) != set(seen.reversals):
            yield f"reversals {seen.reversals}, expected {wanted}"
        else:
            yield from _unlike("reversals", seen.reversals, wanted)
    if expected.capped is not None and seen.capped != expected.capped:
        yield f"capped {seen.capped}, expected {expected.capped}"
    if expected.balances is not None:
        wanted = {unit: balance.model_dump(exclude_none=True) for unit, balance in expected.balances.items()}
        yield from _unlike("balances", seen.balances, wanted)
    for name, units in (expected.others or {}).items():
        wanted = {unit: balance.model_dump(exclude_none=True) for unit, balance in units.items()}
        yield from _unlike(f"balances of {name}", seen.others.get(name, {}), wanted)
    if expected.vouchers is not None:
        yield from voucher_differences(seen.vouchers, expected.vouchers)
    if expected.tier is not None:
        wanted = expected.tier.model_dump(exclude_unset=True)
        counters = wanted.pop("counters", {})
        yield from _unlike("tier", {"": seen.tier}, {"": wanted})
        yield from _unlike("counter", {"": seen.tier.get("counters", {})}, {"": counters})
    if expected.segments is not None and seen.segments != expected.segments:
        yield f"segments {seen.segments}, expected {expected.segments}"
    for what, found, named in (
        ("reasons", seen.reasons, expected.reasons),
        ("good_through", seen.good_through, expected.good_through),
        ("billed", seen.billed, expected.billed),
        ("counted", seen.counted, expected.counted),
    ):
        yield from _unlike(what, {"": found}, {"": dict(named or {})})


def _unlike(
    what: str, found: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    for name, figures in wanted.items():
        for figure, value in figures.items():
            seen = found.get(name, {}).get(figure, "nothing")
            if seen != value:
                yield f"{what} {name + ' ' if name else ''}{figure} is {seen}, expected {value}"
