"""A partner fulfils, through real processes and real HTTP: what it says is done, whoever dies meanwhile."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import Door, Town, grocery, purchase
from tests.redemption.partner import Partner

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

PROGRAM = "grocery"
AT = f"programs/{PROGRAM}/redemptions"
TICKET = {"name": "A ticket", "kind": "product", "unit": "point", "price": 50, "stock": 100}


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    place = tmp_path_factory.mktemp("town")
    parts = {"gateway": "both", "points": "both", "redemption": "both"}
    told = {"outside_private_addresses": "true", "outside_plain_http": "true"}
    async with Town(place, town_urls, town_kafka, parts, forks, **told).open() as town:
        door = town.door()
        await door.publish(grocery(PROGRAM))
        yield town


@pytest.fixture
async def partner(town: Town, door: Door) -> AsyncIterator[Partner]:
    secrets: dict[str, str] = {}
    async with Partner(lambda _, reward: secrets[reward]).open() as partner:
        for reward, seconds in (("ticket", 3600), ("hurried", 1)):
            fulfilment = {"url": partner.url, "timeout_seconds": 2, "deadline_seconds": seconds}
            body = {**TICKET, "name": f"A {reward} of {partner.url}", "fulfilment": fulfilment}
            await door.call("PUT", f"programs/{PROGRAM}/rewards/{reward}", body, 201)
            told = await door.call("GET", f"programs/{PROGRAM}/rewards/{reward}/fulfilment")
            secrets[reward] = told["secret"]
        yield partner


async def with_points(door: Door, member: str) -> None:
    await door.enrol(PROGRAM, member)
    await door.report(PROGRAM, purchase(f"b-{member}", member, 10_000))


async def asked(door: Door, key: str, member: str, reward: str, name: str) -> None:
    """Redeem, and do not wait for the partner."""
    body = {"member": member, "reward": reward, "id": name}
    await door.call("POST", AT, body, 202, idempotency_key=f'"{key}"', prefer="respond-async")


async def stands(town: Town, door: Door, name: str, **wanted: Any) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        shown = await door.call("GET", f"{AT}/{name}")
        return shown if {key: shown.get(key) for key in wanted} == wanted else None

    told: dict[str, Any] = await town.until(found, f"{name} to stand as {wanted}")
    return told


async def test_fulfilled_and_refused_as_the_partner_says(town: Town, door: Door, partner: Partner) -> None:
    await with_points(door, "m-1")
    done = await door.redeem(PROGRAM, "k-1", "m-1", "ticket", id="r-1")
    assert (done["state"], done["reference"], done["points"]) == ("fulfilled", "T-1", 50)
    partner.said = {"state": "refused", "code": "no_seats"}
    refused = await door.redeem(PROGRAM, "k-2", "m-1", "ticket", id="r-2", expect=409)
    assert (refused["code"], refused["partner_code"]) == ("partner_refused", "no_seats")
    await town.prove()
    assert await door.available(PROGRAM, "m-1") == 50


async def test_the_partner_is_told_of_a_later_cancellation(town: Town, door: Door, partner: Partner) -> None:
    await with_points(door, "m-7")
    await door.redeem(PROGRAM, "k-7", "m-7", "ticket", id="r-7")
    (name,) = partner.asked
    partner.moods = ["broken"]
    back = await door.call("POST", f"{AT}/r-7/cancel", {"by": "member", "reason": "no time"})
    assert back["state"] == "cancelled"
    await town.until(lambda: name in partner.cancelled, "the partner to be told")
    assert (partner.cancelled[name]["by"], partner.told[name]) == ("member", 2)
    await town.prove()
    assert await door.available(PROGRAM, "m-7") == 100


async def test_taken_back_while_the_partner_thinks(town: Town, door: Door, partner: Partner) -> None:
    await with_points(door, "m-2")
    partner.always = "pending"
    await asked(door, "k-3", "m-2", "ticket", "r-3")
    await stands(town, door, "r-3", state="fulfilling")
    answer = await door.ask(
        "POST", f"{AT}/r-3/cancel", {"by": "provider", "reason": "we cannot"}, prefer="respond-async"
    )
    assert answer.status_code == 202
    # It is to be asked from when this is shown, and is so a moment later.
    (name,) = await town.until(lambda: list(partner.asked), "the partner to be asked")
    partner.done[name] = {"state": "fulfilled", "reference": "T-3"}
    await stands(town, door, "r-3", state="cancelled", by="provider")
    await town.prove()
    assert await door.available(PROGRAM, "m-2") == 100


async def test_an_operator_settles_for_a_partner_that_is_silent(town: Town, door: Door, partner: Partner) -> None:
    await with_points(door, "m-3")
    partner.always = "pending"
    await asked(door, "k-4", "m-3", "hurried", "r-4")
    await asked(door, "k-5", "m-3", "hurried", "r-5")
    await stands(town, door, "r-4", state="fulfilling", delayed=True)
    await stands(town, door, "r-5", state="fulfilling", delayed=True)
    assert "silent for too long" in str((await town.health("redemption"))["details"])
    assert await town.metric("redemption", "laurel_redemption_partners_overdue") == 2
    confirmed = await door.call("POST", f"{AT}/r-4/confirm")
    assert confirmed["state"] == "fulfilled"
    back = await door.call("POST", f"{AT}/r-5/cancel", {"by": "provider", "reason": "nobody answers"})
    assert back["state"] == "cancelled"
    # Whoever redeemed is answered by it, too.
    body = {"member": "m-3", "reward": "hurried", "id": "r-4"}
    again = await door.ask("POST", AT, body, idempotency_key='"k-4"')
    assert (again.status_code, again.json()["state"]) == (200, "fulfilled")
    await town.prove()
    assert await door.available(PROGRAM, "m-3") == 50


async def test_whoever_dies_the_partner_fulfils_once(town: Town, door: Door, partner: Partner) -> None:
    await with_points(door, "m-4")
    town.kill("redemption")
    town.start("redemption", "after_partner:kill:1")
    await town.ready("redemption")
    await asked(door, "k-6", "m-4", "ticket", "r-6")
    await town.until(lambda: town.exit_code("redemption") == -signal.SIGKILL, "redemption to die with an answer")
    town.start("redemption")
    await town.ready("redemption")
    await stands(town, door, "r-6", state="fulfilled", reference="T-1")
    assert list(partner.asked.values()) == [1]
    assert sum(partner.read_back.values()) >= 1
    await town.prove()
    assert await door.available(PROGRAM, "m-4") == 50


async def test_what_may_be_asked_is_checked_when_it_is_published(door: Door) -> None:
    for bad in ({"url": "ftp://x.example/"}, {"url": "https://x.example/", "timeout_seconds": 0}, {}):
        refused = await door.call("PUT", f"programs/{PROGRAM}/rewards/bad", {**TICKET, "fulfilment": bad}, 422)
        assert refused["code"] == "invalid"
        assert refused["errors"][0]["pointer"].startswith("/fulfilment")
    none = await door.call("GET", f"programs/{PROGRAM}/rewards/bad/fulfilment", expect=404)
    assert none["code"] == "reward_unknown"
