"""The main job on real input: baskets of a year, in files and one by one, each twice, through all three services."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from laurel.replaying.complete_journey import Basket, Product, baskets, products
from laurel.replaying.gateway import Gateway
from laurel.replaying.mapping import encode, member_id, purchase
from laurel.replaying.sending import HowToSend, Replay
from laurel.replaying.summary import ReplaySummary
from laurel.replaying.touring import Tour
from tests.flow.nursery import Nursery
from tests.flow.stage import ONE_OF_EACH, Town, grocery

pytestmark = pytest.mark.anyio

BASKETS = 300
HOUSEHOLDS = 40
WAYS = {
    "filed": HowToSend(batch_size=110, gzip=True),
    "rung-up": HowToSend(one_by_one=True),
}
PRODUCE = {"TROPICAL FRUIT", "VEGETABLES - ALL OTHERS", "APPLES", "CITRUS", "BERRIES", "GRAPES"}


@dataclass(frozen=True)
class Street:
    """A town in which the baskets were sent both ways, what they are, and what the replays said."""

    town: Town
    gateway: Gateway
    baskets: Sequence[Basket]
    products: Mapping[int, Product]
    summaries: Mapping[str, ReplaySummary]

    async def replay(self, program: str) -> ReplaySummary:
        return await Replay(self.gateway, program, self.products, WAYS[program]).run(self.baskets)

    def earned(self) -> Counter[str]:
        """What each household earns, counted by hand."""
        points: Counter[str] = Counter()
        for basket in self.baskets:
            points[member_id(basket.household)] += self.worth(basket)
        return points

    def worth(self, basket: Basket) -> int:
        """By the dollar, by the dollar of fruit, and by the bottle."""
        sold = [(row, self.products.get(row.product)) for row in basket.sold]
        fruit = sum(row.cents for row, what in sold if what is not None and what.category in PRODUCE)
        return basket.cents // 100 + 2 * fruit // 100 + self.paid_by_the_maker(basket)

    def paid_by_the_maker(self, basket: Basket) -> int:
        return 5 * sum(_is_the_makers(self.products.get(row.product)) for row in basket.sold)


def some_baskets() -> list[Basket]:
    """The first baskets of the first households of the year, in order of time."""
    known: set[int] = set()
    found: list[Basket] = []
    for basket in baskets():
        if len(known) < HOUSEHOLDS:
            known.add(basket.household)
        if basket.household in known:
            found.append(basket)
        if len(found) == BASKETS:
            break
    return found


def _is_the_makers(what: Product | None) -> bool:
    return what is not None and (what.brand, what.category, what.manufacturer) == ("National", "SOFT DRINKS", 103)


@pytest.fixture(scope="module")
async def street(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Street]:
    place = tmp_path_factory.mktemp("town")
    async with Town(place, town_urls, town_kafka, ONE_OF_EACH, forks).open() as town:
        key = (place / "admin.key").read_text(encoding="utf-8").strip()
        async with Gateway(town.address("gateway"), key) as gateway:
            summaries: dict[str, ReplaySummary] = {}
            street = Street(town, gateway, some_baskets(), products(), summaries)
            for program in WAYS:
                # As `laurel up` publishes it: a sandbox, in which the year of the baskets is not long over.
                await town.door().publish(grocery(program, clock="manual"))
                summaries[program] = await street.replay(program)
            yield street


async def test_every_basket_earns_what_it_earns_by_hand(street: Street) -> None:
    expected = street.earned()
    assert len(expected) == HOUSEHOLDS
    assert sum(map(street.paid_by_the_maker, street.baskets)) > 0
    for program, summary in street.summaries.items():
        assert (summary.sent, summary.posted, summary.clean) == (BASKETS, BASKETS, True)
        assert summary.enrolled == len(expected)
        assert dict(summary.awarded) == {"point": expected.total()}
        assert summary.document()["awarded"] == [{"unit": "point", "amount": expected.total()}]
        earners = await Tour(street.gateway, program).earners(expected, "point")
        assert {each.member: each.earned for each in earners} == dict(expected)
        assert [each.earned for each in earners] == sorted(expected.values(), reverse=True)
    await street.town.prove()


async def test_the_way_they_came_makes_no_difference(street: Street) -> None:
    for columns, table, order in (
        ("member, journal, unit, account, amount", "points.entries", "member, journal, entry"),
        ("member, unit, available, earned, next_expiry_at, next_expiry_amount", "points.balances", "member, unit"),
        ("member, activity, rule, granted, remaining, earned_at, expires_at, funder", "points.lots", "1, journal, lot"),
        ("member, activity, hash, code", "points.activities", "activity"),
        ("id, member, state, code", "gateway.requests", "kind, id"),
    ):
        what = f"select {columns} from {table} where program = $1 order by {order}"
        filed, rung_up = [await street.town.rows(what, program) for program in WAYS]
        assert filed, what
        assert filed == rung_up, what


async def test_the_same_again_changes_nothing(street: Street) -> None:
    await street.town.prove()
    before = await street.town.digests()
    for program in WAYS:
        again = await street.replay(program)
        assert (again.sent, again.duplicate, again.posted, again.enrolled) == (BASKETS, BASKETS, 0, 0)
        assert (again.clean, dict(again.awarded)) == (True, {})
    await street.town.prove()
    after = await street.town.digests()
    changed = {name for name in after if after[name] != before[name]}
    # That there was another file is kept; nothing else is.
    assert changed == {"gateway.batches", "gateway.batch_lines", "gateway.batch_outcomes"}


async def test_liability_is_what_was_earned_by_whoever_pays_and_by_year(street: Street) -> None:
    total = street.earned().total()
    bottles = sum(map(street.paid_by_the_maker, street.baskets))
    # Good for two years, to the end of the day before.
    years: Counter[int] = Counter()
    for basket in street.baskets:
        years[(basket.occurred_at.date() - timedelta(days=1)).year + 2] += street.worth(basket)
    for program in WAYS:
        (unit,) = (await Tour(street.gateway, program).liability())["units"]
        assert (unit["unit"], unit["granted"], unit["outstanding"]) == ("point", total, total)
        assert [unit[name] for name in ("redeemed", "expired", "reversed", "adjusted", "held", "owed")] == [0] * 6
        by_funder = {each["partner"]: each["outstanding"] for each in unit["by_funder"]}
        assert by_funder == {"grocer": total - bottles, "maker-103": bottles}
        assert {each["year"]: each["outstanding"] for each in unit["by_expiry_year"]} == dict(years)


async def test_a_quote_is_what_the_basket_earned_and_changes_nothing(street: Street) -> None:
    before = await street.town.digests()
    for basket in street.baskets[:10]:
        said = encode(purchase(basket, street.products))
        answer = await street.gateway.ask(
            "POST", "/v1/programs/filed/quotes", body=said, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 200, answer.text
        quoted = answer.json()
        posted = await street.gateway.get(f"/v1/programs/filed/activities/cj-{basket.id}")
        for part, of in (
            ("awards", ("rule", "unit", "amount", "expires_at")),
            ("decision", ("rule", "fired", "amount")),
        ):
            assert _only(of, quoted[part]) == _only(of, posted[part])
    assert await street.town.digests() == before


async def test_a_statement_tells_every_basket_newest_first_page_by_page(street: Street) -> None:
    # What moves no points is in no statement.
    moving = [basket for basket in reversed(street.baskets) if street.worth(basket)]
    assert len(moving) < BASKETS
    ((household, count),) = Counter(basket.household for basket in moving).most_common(1)
    assert count > 2
    path = f"/v1/programs/rung-up/members/{member_id(household)}/statement"
    told: list[dict[str, Any]] = []
    more: dict[str, str] = {}
    while True:
        page = await street.gateway.get(path, limit="2", **more)
        told += page["data"]
        if page["next_cursor"] is None:
            break
        more = {"cursor": page["next_cursor"]}
    assert [each["kind"] for each in told] == ["activity"] * count
    assert [each["cause"] for each in told] == [f"cj-{basket.id}" for basket in moving if basket.household == household]
    for each in told:
        assert sum(entry["amount"] for entry in each["entries"]) == 0
    assert await Tour(street.gateway, "rung-up").statement(member_id(household), 1) == told[:1]


def _only(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row.get(name) for name in names} for row in rows]
