"""Events that are missing, late, early or there twice: what was decided is what would have been decided in turn."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from laurel.contracts.registry import EVENTS
from laurel.io import inbox, parking
from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.io.outbox import Outbox
from laurel.io.saying import Saying
from laurel.io.settings import KafkaSettings
from laurel.io.unit import UnitOfWork
from laurel.program.reading import read_yaml
from tests.flow.nursery import Nursery
from tests.flow.other_gateway import OtherGateway
from tests.flow.stage import (
    NOW,
    ONE_OF_EACH,
    Door,
    Town,
    gather_bounded,
    giving_back,
    grocery,
    points_of,
    purchase,
    voucher,
)
from tests.flow.wire import Record, Wire, distinct

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

PROGRAMS = Path(__file__).parents[2] / "programs"
GAP_SECONDS = 0.5
HOLD_WAIT_SECONDS = 3
AMOUNT = 4_000
SEED = 20260314


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    settings = {
        "gap_report_seconds": GAP_SECONDS,
        "program_wait_seconds": 0.5,
        "hold_wait": f"PT{HOLD_WAIT_SECONDS}S",
        "wait_timer_seconds": 0.2,
    }
    place = tmp_path_factory.mktemp("town")
    async with Town(place, town_urls, town_kafka, ONE_OF_EACH, forks, **settings).open() as town:
        yield town


@pytest.fixture(scope="module")
async def door(town: Town) -> Door:
    return town.door()


@pytest.fixture(scope="module")
async def wire(town: Town) -> AsyncIterator[Wire]:
    async with Wire(town.kafka).open() as wire:
        yield wire


async def test_event_missing_in_the_middle_is_waited_for_and_told_of(town: Town, door: Door, wire: Wire) -> None:
    program = "gap"
    await door.publish(grocery(program))
    await door.enrol(program, "m-gap", "m-other")
    async with OtherGateway.open(town.urls, held_up=True) as other:
        for number in range(5):
            await other.report(program, purchase(f"b-{number}", "m-gap", AMOUNT))
        first, second, third, fourth, fifth = (wire.record("gateway", row) for row in other.held_up)

    await wire.deliver([first, third, fifth])
    await town.until(partial(_waits, town, 2), "two to wait for the missing one")
    await town.until(partial(_has, door, program, "m-gap", points_of(AMOUNT)), "the first to be applied")
    await door.report(program, purchase("b-other", "m-other", AMOUNT))
    for service in ("points", "redemption"):
        group = f"{town.kafka.kafka_prefix}-{service}"
        await town.until(partial(_has_gaps, town, service, 1), f"{service} to count the gap")
        told = await town.health(service)
        assert told["status"] == "ready"
        assert told["details"][f"gaps:{group}"].startswith("1 keys wait for a missing number, first laurel/gateway/1")

    # It comes: what waited behind it goes on, up to the next that is missing, which comes, too.
    await wire.deliver([second])
    await town.until(partial(_has, door, program, "m-gap", 3 * points_of(AMOUNT)), "three to be applied")
    await wire.deliver([fourth])
    await town.until(partial(_has, door, program, "m-gap", 5 * points_of(AMOUNT)), "all five to be applied")
    for service in ("points", "redemption"):
        await town.until(partial(_has_gaps, town, service, 0), f"{service} to count no gap any more")
        assert (await town.health(service))["details"] == {}
    journals = "select cause from points.journals where program = $1 and member = 'm-gap' order by journal"
    assert [cause for (cause,) in await town.rows(journals, program)][1:] == [f"b-{number}" for number in range(5)]
    await town.prove()


async def test_activity_overtakes_the_publication_of_its_program(town: Town, door: Door) -> None:
    program = "overtaken"
    await door.publish(grocery(program))
    await door.enrol(program, "m-1", "m-2")
    await door.call("PUT", f"programs/{program}/rewards/off", voucher(30), 201)
    await door.report(program, purchase("before", "m-2", AMOUNT))

    async with OtherGateway.open(town.urls, held_up=True) as other:
        soon = datetime.now(UTC) + timedelta(seconds=5)
        doubled = grocery(program, effective_from=soon.isoformat())
        doubled["earning"][0]["rate"]["points"] = 2
        assert await other.publish(doubled) == 2
        (publication,) = other.held_up
    # The gateway knows version 2 and says so with every request; the workers have never heard of it.
    after = purchase("after", "m-1", AMOUNT, occurred_at=(soon + timedelta(seconds=30)).isoformat())
    old = purchase("old", "m-1", AMOUNT)
    for body in (after, old):
        await door.report(program, body, 202, prefer="respond-async")
    redeeming = asyncio.create_task(door.redeem(program, "wish", "m-2", "off"))
    for service in ("points", "redemption"):
        await town.until(partial(_waits_for_its_program, town, service), f"{service} to put aside what it cannot judge")
    # Nobody else notices.
    await door.publish(grocery("punctual"))
    await door.enrol("punctual", "m-1")
    await door.report("punctual", purchase("meanwhile", "m-1", AMOUNT))
    await town.ready("points", "redemption")
    assert (await door.call("GET", f"programs/{program}/activities/after"))["state"] == "pending"

    async with Wire(town.kafka).open() as wire:
        await wire.deliver([wire.record("gateway", publication)])
    assert (await redeeming)["state"] == "fulfilled"
    for id_, rate in (("after", 2), ("old", 1)):
        path = f"programs/{program}/activities/{id_}"
        await town.until(partial(_is_posted, door, path), f"{id_} to be posted")
        assert (await door.call("GET", path))["awards"][0]["amount"] == rate * points_of(AMOUNT)
    versions = "select cause, version from points.journals where program = $1 and kind = 'activity' order by cause"
    assert await town.rows(versions, program) == [("after", 2), ("before", 1), ("old", 1)]
    await town.ready("points", "redemption")
    await town.prove()


async def test_return_overtakes_its_purchase(town: Town, door: Door) -> None:
    program = "hasty"
    await door.publish(grocery(program))
    await door.enrol(program, "m-1")
    back = giving_back("back", "bought", "m-1")
    unnamed = await door.report(program, giving_back("back", "bought"), 404)
    assert unnamed["code"] == "activity_unknown"

    # Both are on their way at once, in the wrong order: the return is refused, and its id stays free.
    await door.report(program, back, 202, prefer="respond-async")
    await door.report(program, purchase("bought", "m-1", AMOUNT))
    shown = await town.until(partial(_answered, door, f"programs/{program}/activities/back"), "the return's outcome")
    assert (shown["state"], shown["code"]) == ("refused", "activity_unknown")
    assert await door.available(program, "m-1") == points_of(AMOUNT)
    judged = await door.report(program, back)
    assert (judged["state"], judged["reversals"][0]["taken"]) == ("posted", points_of(AMOUNT))
    assert await door.available(program, "m-1") == 0
    over = await door.report(program, giving_back("back-2", "bought", "m-1"), 409)
    assert over["code"] == "over_returned"
    await town.prove()


async def test_same_id_with_another_body_changes_nothing(town: Town, door: Door) -> None:
    program = "mistaken"
    await door.publish(grocery(program))
    await door.enrol(program, "m-1", "m-2")
    first = await door.report(program, purchase("b-1", "m-1", AMOUNT))
    await town.prove()
    before = await town.digests()
    for other in (
        purchase("b-1", "m-1", AMOUNT + 1),
        purchase("b-1", "m-2", AMOUNT),
        purchase("b-1", "m-1", AMOUNT, produce=100),
        giving_back("b-1", "b-0", "m-1"),
    ):
        refused = await door.report(program, other, 422)
        assert refused["code"] == "idempotency_mismatch"
    where = await door.send_batch(program, [purchase("b-1", "m-1", AMOUNT + 2)])
    done = await town.until(partial(_done, door, where), "the file to be done")
    assert (done["rejected"], done["posted"]) == (1, 0)
    assert await door.call("GET", f"programs/{program}/activities/b-1") == first
    assert await door.available(program, "m-1") == points_of(AMOUNT)
    after = await town.digests()
    changed = {name for name in after if after[name] != before[name]}
    assert all(name.startswith("gateway.batch") for name in changed), changed


async def test_events_of_many_members_come_mixed_and_twice(town: Town, door: Door, wire: Wire) -> None:
    program = "mixed"
    await door.publish(grocery(program))
    members = [f"m-{number}" for number in range(30)]
    await gather_bounded([partial(door.enrol, program, member) for member in members], 8)
    async with OtherGateway.open(town.urls, held_up=True) as other:
        for member in members:
            await other.report(program, purchase(f"{member}-a", member, AMOUNT))
            await other.report(program, purchase(f"{member}-b", member, AMOUNT, produce=500))
            half = [{"id": "1", "amount": AMOUNT // 2}]
            await other.report(program, giving_back(f"{member}-c", f"{member}-a", member, lines=half))
        records = [wire.record("gateway", row) for row in other.held_up]
    await wire.deliver(_mixed(records, random.Random(SEED)))
    await town.prove()
    worth = points_of(AMOUNT // 2) + points_of(AMOUNT, 500)
    assert {await door.available(program, member) for member in members} == {worth}
    journals = "select kind, count(*) from points.journals where program = $1 group by kind order by kind"
    assert await town.rows(journals, program) == [("activity", 60), ("enrolment", 30), ("return", 30)]


async def test_everything_ever_said_is_said_again_in_another_order(town: Town, door: Door, wire: Wire) -> None:
    await _say_everything(town, door, wire)
    await town.prove()
    records = await wire.everything()
    said = {record.type for record in records}
    # Partners fulfil in tests/flow/test_fulfilment.py, and nobody here comes to lose points by being away, as in
    # tests/points/store/test_reviving.py; what is said of either comes twice in the gateway's tests.
    assert EVENTS.keys() - said == {"redemption.fulfilling.v1", "points.revived.v1"}
    before = await town.digests()

    chance = random.Random(SEED)
    again = [*records, *records]
    chance.shuffle(again)
    repeats = {name: await _repeats(town, name) for name in ONE_OF_EACH}
    await wire.deliver(again)
    await town.until(wire.all_consumed, "every repeat to be consumed")
    assert distinct(await wire.everything()) == distinct(records)
    for name in ONE_OF_EACH:
        assert await _repeats(town, name) > repeats[name]
    await town.prove()
    after = await town.digests()
    changed = {name for name in after if after[name] != before[name]}
    assert not changed, changed
    # And Laurel goes on as before.
    await door.report("everything", purchase("afterwards", "m-1", AMOUNT))
    await town.prove()


async def _say_of_wallets(door: Door) -> None:
    """Have said what callers do with wallets, and what a sandbox's clock says."""
    program = "wallets"
    most = {"cap": "most", "unit": "point", "window": "transaction", "limit": points_of(AMOUNT) - 1}
    await door.publish(grocery(program, clock="manual", caps=[most]))
    await door.enrol(program, "m-1")
    await door.report(program, purchase("bought", "m-1", AMOUNT))
    holds, adjustments = f"programs/{program}/holds", f"programs/{program}/adjustments"

    async def hold(key: str, amount: int, expect: int = 201) -> Any:
        body = {"member": "m-1", "unit": "point", "amount": amount, "reference": key}
        return await door.call("POST", holds, body, expect, idempotency_key=f'"{key}"')

    one, other = (await hold("one", 10))["hold"], (await hold("other", 5))["hold"]
    await hold("too-much", 1000, 409)
    await door.call("POST", f"{holds}/{one}/capture", {"amount": 8})
    await door.call("POST", f"{holds}/{one}/cancel", {"by": "member", "reason": "back", "amount": 3})
    await door.call("POST", f"{holds}/{other}/release", {})
    await hold("left-alone", 2)
    narrow = {"scopes": ["adjust"], "programs": [program], "limits": {"adjust": 5}}
    key = await door.call("POST", "partners/operator/keys", narrow, 201)
    body = {"member": "m-1", "unit": "point", "amount": 50, "reason": "goodwill", "note": "sorry"}
    limited = {"authorization": f"Bearer {key['secret']}"}
    waiting = await door.call("POST", adjustments, body, 409, idempotency_key='"a-1"', **limited)
    await door.call("POST", f"{adjustments}/{waiting['adjustment']}/approve", {})
    wrong = {"member": "m-1", "unit": "point", "corrects": {"id": "bought", "should_be": 30}}
    await door.call("POST", adjustments, wrong, 201, idempotency_key='"a-2"')
    await door.call("PUT", f"programs/{program}/rewards/off", voucher(1), 201)
    held = await door.redeem(program, "kept-waiting", "m-1", "off", id="kept-waiting", confirm="later")
    assert held["state"] == "holding"
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    turned = await door.call("POST", f"programs/{program}/clock", {"as_of": tomorrow})
    assert turned["holds_timed_out"] == 2


async def _say_of_tiers(door: Door) -> None:
    """Have a tier matched and a match refused, and in a sandbox a tier kept by the nights of its last year."""
    flights, nights = "mileageplus", "hanting"
    for program in (flights, nights):
        document: Any = read_yaml((PROGRAMS / f"{program}.yaml").read_text(encoding="utf-8"))
        await door.publish(json.loads(json.dumps(document, default=str)))
    await door.enrol(flights, "m-1", "m-2")
    for member, dated, expect in (("m-1", NOW - timedelta(days=40), 201), ("m-2", NOW - timedelta(days=4000), 409)):
        asked = {"tier": "gold", "evidence": {"issuer": "rival", "dated": dated.date().isoformat()}}
        await door.call("POST", f"programs/{flights}/members/{member}/status-match", asked, expect)
    guest = {"member": "m-3", "enrolled_at": "2023-01-10T04:00:00+00:00"}
    await door.call("POST", f"programs/{nights}/members", guest, 201)
    for day, count in (("2023-01-11", 3), ("2023-01-12", 5), ("2023-01-13", 20), ("2024-02-01", 20)):
        stayed = {"id": day, "type": "stay", "member": "m-3", "currency": "CNY", "amount": 100}
        whole = {**stayed, "occurred_at": f"{day}T04:00:00+00:00", "attributes": {"nights": count}}
        await door.report(nights, whole)
    await door.call("POST", f"programs/{nights}/clock", {"as_of": "2025-01-10T04:00:00+00:00"})


async def _say_of_vouchers(door: Door) -> None:
    """Have points become vouchers, and in a sandbox one used, undone and over, another dead."""
    document: Any = read_yaml((PROGRAMS / "clubcard.yaml").read_text(encoding="utf-8"))
    document["program"] = "savers"
    await door.publish(json.loads(json.dumps(document, default=str)))
    base = "programs/savers"
    for member in ("m-1", "m-2"):
        await door.call("POST", f"{base}/members", {"member": member, "enrolled_at": "2020-01-01T00:00:00Z"}, 201)
        bought = {"id": f"b-{member}", "type": "purchase", "member": member, "currency": "GBP", "amount": 25000}
        await door.report("savers", {**bought, "occurred_at": "2021-01-10T10:00:00Z"})
    await door.call("POST", f"{base}/clock", {"as_of": "2021-02-01T00:00:00Z"})
    first, second = (await door.call("GET", f"{base}/vouchers"))["data"]
    path = f"{base}/vouchers/{first['code']}"
    basket = {"amount": 900, "currency": "GBP"}
    await door.call("POST", f"{path}/redeem", {"reference": "t-1", "basket": basket})
    await door.call("POST", f"{path}/redeem", {"reference": "t-2", "basket": basket}, 409)
    await door.call("POST", f"{path}/void", {"reference": "t-1"})
    await door.call("POST", f"{base}/vouchers/{second['code']}/void", {})
    turned = await door.call("POST", f"{base}/clock", {"as_of": "2023-03-01T00:00:00Z"})
    assert turned["vouchers_expired"] == 1


async def _say_of_members(door: Door) -> None:
    """Have a member changed, refused to be closed while points are held, and closed."""
    program = "leavers"
    await door.publish(grocery(program))
    await door.enrol(program, "m-1")
    await door.report(program, purchase("bought", "m-1", AMOUNT))
    member = f"programs/{program}/members/m-1"
    await door.call("PATCH", member, {"attributes": {"card": "gold"}})
    body = {"member": "m-1", "unit": "point", "amount": 1, "reference": "sale"}
    held = await door.call("POST", f"programs/{program}/holds", body, 201, idempotency_key='"h"')
    await door.call("POST", f"{member}/close", {}, 409)
    await door.call("POST", f"programs/{program}/holds/{held['hold']}/release", {})
    await door.call("POST", f"{member}/close", {})
    # And in a sandbox somebody who comes to belong to a club.
    club: Any = read_yaml((PROGRAMS / "clubcard.yaml").read_text(encoding="utf-8"))
    await door.publish(json.loads(json.dumps(club, default=str)))
    shopper = {"member": "m-4", "enrolled_at": "2024-01-10T04:00:00+00:00"}
    await door.call("POST", f"programs/{club['program']}/members", shopper, 201)
    line = {"id": "1", "category": "FRUIT", "amount": 9600}
    fruit = {"id": "fruit", "type": "purchase", "member": "m-4", "currency": "GBP", "amount": 9600, "lines": [line]}
    await door.report(club["program"], {**fruit, "occurred_at": "2024-03-01T10:00:00+00:00"})
    await door.call("POST", f"programs/{club['program']}/clock", {"as_of": "2024-03-04T00:00:00+00:00"})


async def _say_of_sharing(door: Door) -> None:
    """Have points given, exchanged, joined and parted, and all of it refused."""
    here, there = "giving", "taking"
    rate = {"unit": "point", "to": there, "into": "point", "rate": 1, "funding": {"funder": "shop"}}
    await door.publish(grocery(here, transfers={"point": {}}, exchanges=[rate]))
    await door.publish(grocery(there))
    await door.enrol(here, "m-1", "m-2")
    await door.enrol(there, "m-1")
    await door.report(here, purchase("bought", "m-1", AMOUNT))
    for amount, expect in ((1, 201), (10**6, 409)):
        gift = {"from": "m-1", "to": "m-2", "unit": "point", "amount": amount}
        await door.call("POST", f"programs/{here}/transfers", gift, expect, idempotency_key=f'"{amount}"')
        swap = {"member": "m-1", "to": {"program": there, "member": "m-1"}, "unit": "point", "amount": amount}
        await door.call("POST", f"programs/{here}/exchanges", swap, expect, idempotency_key=f'"{amount}"')
    one = f"programs/{here}/members/m-1"
    await door.call("POST", f"{one}/merge", {"into": "m-2"}, 201, idempotency_key='"merge"')
    await door.report(here, purchase("for-the-other", "m-1", AMOUNT))
    await door.report(here, giving_back("from-the-other", "bought", "m-1"))
    await door.call("POST", f"{one}/unmerge", {}, 201, idempotency_key='"unmerge"')
    await door.call("POST", f"{one}/unmerge", {}, 409, idempotency_key='"again"')
    await door.call("PUT", f"programs/{here}/households/home", {"members": ["m-1", "m-2"]}, 201)


async def _say_of_partners(door: Door) -> None:
    """Have a partner pay in advance, and a purchase wait until it has."""
    program = "prepaid"
    earning = [{**rule, "funding": {"funder": "operator"}} for rule in grocery(program)["earning"]]
    await door.publish(grocery(program, earning=earning))
    await door.enrol(program, "m-1")
    partner = f"programs/{program}/partners/operator"
    await door.call("PUT", partner, {"state": "approved", "billing": "prepaid"}, 201)
    await door.report(program, purchase("waits", "m-1", AMOUNT), 202)
    paid = {"unit": "point", "units": 1_000, "amount": 1_000, "currency": "USD", "reference": "r-1"}
    await door.call("POST", f"{partner}/blocks", paid, 201)
    assert await door.available(program, "m-1") == points_of(AMOUNT)
    asked = f"programs/{program}/activities/waits/approve"
    assert (await door.call("POST", asked, None, 409))["code"] == "nothing_pending"


async def _say_everything(town: Town, door: Door, wire: Wire) -> None:
    """Have every type of event said that this version says."""
    await _say_of_wallets(door)
    await _say_of_tiers(door)
    await _say_of_vouchers(door)
    await _say_of_members(door)
    await _say_of_sharing(door)
    await _say_of_partners(door)
    program = "everything"
    # Points are good for a day, so those of a purchase of the day before yesterday expire at once.
    units = {"point": {"scale": 0, "validity": {"kind": "rolling", "months": 1}}}
    await door.publish(grocery(program, units=units))
    await door.enrol(program, "m-1", "m-2", "m-3", "m-late")
    long_ago = (datetime.now(UTC) - timedelta(days=60)).isoformat()
    await door.report(program, purchase("expires", "m-2", AMOUNT, occurred_at=long_ago))
    for number in range(3):
        await door.report(program, purchase(f"b-{number}", "m-1", 10_000))
    await door.report(program, purchase("late", "m-late", 10_000))
    await door.report(program, giving_back("back", "b-0"))
    await door.report(program, giving_back("back-again", "b-0"), 409)
    await door.call("PUT", f"programs/{program}/rewards/off", voucher(50, stock=9), 201)
    await door.call("PUT", f"programs/{program}/resources/AA100", {"capacity": 150}, 201)
    await door.redeem(program, "k-1", "m-1", "off")
    await door.redeem(program, "k-2", "m-3", "off", 409)
    await door.redeem(program, "k-3", "m-1", "off", id="r-3", confirm="later")
    at = f"programs/{program}/redemptions/r-3"
    await door.call("POST", f"{at}/confirm")
    await door.call("POST", f"{at}/cancel", {"by": "member", "reason": "changed their mind"})
    await door.redeem(program, "k-4", "m-3", "off", 409, id="r-4")
    await door.enrol(program, "m-forgotten")
    await door.call("POST", f"programs/{program}/members/m-forgotten/erase")
    refused = {"by": "member", "reason": "nothing to take back"}
    await door.call("POST", f"programs/{program}/redemptions/r-4/cancel", refused, 409)

    # While points are away a redemption waits too long; when they are back, they are asked to let go.
    town.kill("points")
    late = await door.redeem(program, "k-late", "m-late", "off", 409)
    assert late["code"] == "hold_expired"
    town.start("points")
    await town.until(partial(_has, door, program, "m-late", 100), "the points to be let go")

    # What nobody understands is parked and given up.
    async with OtherGateway.open(town.urls, held_up=False) as newer:
        await newer.report(program, purchase("strange", "m-3", AMOUNT), said=_unheard_of)
    database = await Database.connect(town.urls.points, schema="points", application="laurel dead")
    try:
        unit = UnitOfWork(database, await Outbox.load("points", database))
        (parked,) = await town.until(partial(_parked, unit), "the strange message to be parked")
        place = (parked.program, parked.member, parked.source, parked.sequence)
        async with unit.begin() as work:
            await parking.retry(work, place, actor="tester", note="perhaps somebody knows by now")
        await town.until(partial(_parked_again, unit), "the strange message to be parked once more")
        async with unit.begin() as work:
            await parking.discard(work, place, actor="tester", note="nobody knows what it is")
    finally:
        await database.close()


def _unheard_of(saying: Saying) -> Saying:
    return dataclasses.replace(saying, type="activity.invented.v9")


def _mixed(records: list[Record], chance: random.Random) -> list[Record]:
    """Each key in its order, the keys in any; and everything comes once more, somewhere later."""
    queues: dict[bytes, list[Record]] = {}
    for record in records:
        queues.setdefault(record.key, []).append(record)
    mixed: list[Record] = []
    while queues:
        key = chance.choice(sorted(queues))
        mixed.append(queues[key].pop(0))
        if chance.random() < 0.5:
            mixed.append(chance.choice(mixed))
        if not queues[key]:
            del queues[key]
    return [*mixed, *chance.sample(records, len(records))]


# What is asked of the town. --------------------------------------------------------------------------------------


async def _has(door: Door, program: str, member: str, points: int) -> bool:
    return await door.available(program, member) == points


async def _is_posted(door: Door, path: str) -> bool:
    return bool((await door.call("GET", path))["state"] == "posted")


async def _answered(door: Door, path: str) -> Any:
    shown = await door.call("GET", path)
    return shown if shown["state"] != "pending" else None


async def _done(door: Door, batch: str) -> Any:
    shown = await door.call("GET", batch)
    return shown if shown["state"] == "done" else None


async def _waits(town: Town, number: int) -> bool:
    return bool(await town.value("select count(*) from points.parked where reason = 'gap'") == number)


async def _has_gaps(town: Town, service: str, number: int) -> bool:
    return await town.metric(service, "laurel_gaps", group=f"{town.kafka.kafka_prefix}-{service}") == number


async def _waits_for_its_program(town: Town, service: str) -> bool:
    return bool(await town.rows(f"select from {service}.parked where reason = 'program_version_unknown'"))


async def _repeats(town: Town, name: str) -> float:
    return await town.metric(name, "laurel_messages_total", outcome="repeated")


async def _parked_again(unit: UnitOfWork) -> bool:
    return [each.reason for each in await _parked(unit)] not in ([], [inbox.RETRY])


async def _parked(unit: UnitOfWork) -> list[parking.Parked]:
    async with unit.database.transaction() as connection:
        return await parking.parked_messages(connection)
