"""Programs of any size: `grocery` as it is, and the offers that a grocer would add to it through a year.

The offers are of ten kinds, taken in turn, over products, makers, categories, stores and hours of the real baskets:
a pack that its maker pays for, a maker's line in one category, the house brand, many of one thing, a new store, quiet
hours, a week with a threshold, a theme by the name of its category, small stores, and what is fetched or bought late.
Each is one that a merchant could write, most are about few baskets, as offers are, and some need CEL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any

from benchmarks.machine import ROOT
from laurel.program.loading import load_program
from laurel.program.reading import read_yaml
from laurel.replaying.complete_journey import STORES, baskets, products

BASE = "grocery"
SIZES = (3, 40, 300)
"""How many rules: the real program, one of a middling year, and a large one."""

_LOOKED_AT = 3_000
_YEAR = datetime(2017, 1, 1, 5, tzinfo=UTC)
_PARTS = {
    "morning": {"from": "05:00", "to": "10:59"},
    "day": {"from": "11:00", "to": "16:59"},
    "evening": {"from": "17:00", "to": "22:59"},
    "night": {"from": "23:00", "to": "04:59"},
}
_THEMES = ("FRZN", "BABY", "PET", "FROZEN", "HOT", "CANNED", "DRY", "CAT", "DOG", "PAPER")

Rule = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sold:
    """What is sold in the stores, the most asked for first."""

    skus: list[str]
    categories: list[str]
    makers: list[tuple[str, str]]
    """A maker and a category in which it sells."""


def program_of(rules: int) -> tuple[str, dict[str, Any]]:
    """Return the id and the document of a program with so many rules."""
    document: dict[str, Any] = read_yaml((ROOT / "programs" / f"{BASE}.yaml").read_text(encoding="utf-8"))  # type: ignore[assignment]
    name = f"{BASE}-{rules}"
    document["program"] = name
    more = rules - len(document["earning"])
    if more < 0:
        raise ValueError(f"{BASE} has {len(document['earning'])} rules already")
    if more:
        document["day_parts"] = _PARTS
        document["stores"] = {f"s-{number}": {"type": _store_type(number)} for number in range(1, STORES + 1)}
        document["earning"] += [_offer(number) for number in range(more)]
    load_program(document, name)
    return name, document


def _store_type(number: int) -> str:
    return "express" if number % 5 == 0 else "supermarket"


def _offer(number: int) -> Rule:
    kind, turn = number % len(_KINDS), number // len(_KINDS)
    return _KINDS[kind](turn)


def _rule(name: str, turn: int, **parts: Any) -> Rule:  # noqa: ANN401
    return {"rule": f"{name}-{turn + 1}", "on": ["purchase"], "unit": "point", "funding": {"funder": "grocer"}, **parts}


def _pack(turn: int) -> Rule:
    sku = _sold().skus[60 + 7 * turn]
    funding = {"funder": f"maker-{turn + 1}", "price": "1"}
    return _rule("pack", turn, lines=f'line.sku == "{sku}"', fixed={"points": 20, "per": "quantity"}, funding=funding)


def _line_of_a_maker(turn: int) -> Rule:
    maker, category = _sold().makers[80 + 11 * turn]
    asked = f'line.category == "{category}" && line.attributes.manufacturer == "{maker}"'
    funding = {"funder": f"maker-{maker}", "price": "0.5"}
    return _rule("maker", turn, lines=asked, fixed={"points": 5, "per": "line"}, funding=funding)


def _house_brand(turn: int) -> Rule:
    category = _sold().categories[40 + 3 * turn]
    asked = f'line.brand == "Private" && line.category == "{category}"'
    return _rule("house-brand", turn, lines=asked, rate={"points": 1, "per": 100})


def _many(turn: int) -> Rule:
    category = _sold().categories[12 + 5 * turn]
    asked = f'line.category == "{category}" && line.quantity >= 4'
    return _rule("many", turn, lines=asked, fixed={"points": 10, "per": "line"})


def _new_store(turn: int) -> Rule:
    weeks = _weeks(turn, 6)
    return _rule("new-store", turn, where=f'activity.store == "s-{3 + 14 * turn}"', fixed={"points": 100}, **weeks)


def _quiet_hours(turn: int) -> Rule:
    asked = f'activity.day_part == "night" && activity.store == "s-{1 + 9 * turn}" && activity.amount >= 1000'
    return _rule("quiet-hours", turn, where=asked, rate={"points": 1, "per": 100})


def _week(turn: int) -> Rule:
    return _rule("week", turn, where="activity.amount >= 15000", fixed={"points": 150}, **_weeks(turn, 1))


def _theme(turn: int) -> Rule:
    theme, weeks = _THEMES[turn % len(_THEMES)], _weeks(turn, 2)
    asked = f'line.category.startsWith("{theme}") && line.brand != "Private"'
    return _rule("theme", turn, lines=asked, rate={"points": 1, "per": 100}, **weeks)


def _small_stores(turn: int) -> Rule:
    category = _sold().categories[25 + 6 * turn]
    asked = {"where": 'activity.store_type == "express"', "lines": f'line.category == "{category}"'}
    return _rule("small-stores", turn, **asked, fixed={"points": 3, "per": "line"})


def _fetched(turn: int) -> Rule:
    store = f"s-{2 + 15 * turn}"
    asked = f'activity.store == "{store}" && (activity.channel == "pickup" || activity.day_part == "night")'
    return _rule("fetched", turn, where=asked, fixed={"points": 25})


_KINDS: tuple[Callable[[int], Rule], ...] = (
    _pack,
    _line_of_a_maker,
    _house_brand,
    _many,
    _new_store,
    _quiet_hours,
    _week,
    _theme,
    _small_stores,
    _fetched,
)


def _weeks(turn: int, length: int) -> dict[str, str]:
    """Return when an offer begins and ends: one after the other through the year."""
    start = _YEAR + timedelta(weeks=(turn * 7) % 50)
    return {"starts_at": start.isoformat(), "ends_at": (start + timedelta(weeks=length)).isoformat()}


@lru_cache(maxsize=1)
def _sold() -> Sold:
    known = products()
    skus: Counter[str] = Counter()
    categories: Counter[str] = Counter()
    makers: Counter[tuple[str, str]] = Counter()
    for basket in islice(baskets(), _LOOKED_AT):
        for row in basket.sold:
            product = known.get(row.product)
            if product is None or product.category is None or product.manufacturer is None:
                continue
            skus[str(row.product)] += 1
            categories[product.category] += 1
            makers[str(product.manufacturer), product.category] += 1
    return Sold(_ranked(skus), _ranked(categories), _ranked(makers))


def _ranked(counted: Counter[Any]) -> list[Any]:
    return sorted(counted, key=lambda each: (-counted[each], each))
