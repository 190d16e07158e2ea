"""Two gateways and two workers of points: what either says both show, and killing one of each loses nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import (
    JOINED_AT,
    TWO_OF_EACH,
    Door,
    Doors,
    Town,
    gather_bounded,
    grocery,
    points_of,
    purchase,
    until,
    voucher,
)

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]

SEVERAL = 8


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    async with Town(tmp_path_factory.mktemp("town"), town_urls, town_kafka, TWO_OF_EACH, forks).open() as town:
        yield town


@pytest.fixture(scope="module")
async def doors(town: Town) -> Sequence[Door]:
    return [town.door("gateway"), town.door("gateway-2")]


async def test_what_one_gateway_answers_the_other_shows_at_once(town: Town, doors: Sequence[Door]) -> None:
    program = "two-doors"
    here, there = doors
    await here.publish(grocery(program))
    await here.call("PUT", f"programs/{program}/rewards/off", voucher(10), 201)
    bought = await there.call("GET", f"programs/{program}/rewards")
    assert [each["reward"] for each in bought["data"]] == ["off"]

    async def shop(number: int) -> None:
        """Each step through one door is seen through the other."""
        asked, shown = (here, there) if number % 2 else (there, here)
        member = f"m-{number}"
        await asked.enrol(program, member)
        assert await shown.available(program, member) == 0
        posted = await asked.report(program, purchase(f"b-{number}", member, 5_000 + number))
        assert await shown.balance(program, member) == posted["balances"][0]
        assert await shown.call("GET", f"programs/{program}/activities/b-{number}") == posted
        redeemed = await asked.redeem(program, f"k-{number}", member, "off")
        assert await shown.available(program, member) == 40
        seen = await shown.call("GET", f"programs/{program}/redemptions/{redeemed['redemption']}")
        assert seen == redeemed

    await gather_bounded([partial(shop, number) for number in range(30)], SEVERAL)
    await town.prove()


async def test_member_never_seen_before_is_enrolled_by_two_at_once(town: Town, doors: Sequence[Door]) -> None:
    program = "two-members"
    await doors[0].publish(grocery(program))
    path = f"programs/{program}/members"
    for number in range(6):
        bodies = [{"member": f"m-{number}", "enrolled_at": JOINED_AT, "person": f"p-{turn}"} for turn in range(4)]
        answers = await asyncio.gather(*(doors[turn % 2].ask("POST", path, body) for turn, body in enumerate(bodies)))
        assert _statuses(answers) == {201: 1, 409: 3}
        winner = next(turn for turn, answer in enumerate(answers) if answer.status_code == 201)
        assert (await doors[0].call("GET", f"{path}/m-{number}"))["person"] == f"p-{winner}"
    # The same card wanted by two members: one of them is enrolled, of the other nothing is left.
    for number in range(6):
        card = {"scheme": "card", "value": str(number)}
        wanted = [{"member": f"c-{number}-{turn}", "identifiers": [card]} for turn in range(2)]
        answers = await asyncio.gather(
            *(door.ask("POST", path, body) for door, body in zip(doors, wanted, strict=True))
        )
        assert _statuses(answers) == {201: 1, 409: 1}
        loser = next(turn for turn, answer in enumerate(answers) if answer.status_code == 409)
        assert answers[loser].json()["code"] == "identifier_taken"
        await doors[loser].call("GET", f"{path}/c-{number}-{loser}", expect=404)
        await doors[loser].enrol(program, f"c-{number}-{loser}")
    assert await town.value("select count(*) from points.wallets where program = $1", program) == 6 + 12
    await town.prove()


async def test_one_id_with_two_bodies_is_asked_at_two_doors_at_once(town: Town, doors: Sequence[Door]) -> None:
    program = "two-bodies"
    await doors[0].publish(grocery(program))
    await doors[0].enrol(program, "m-1")
    total = 0
    for number in range(8):
        amounts = [1_000, 2_000]
        answers = await asyncio.gather(
            *(
                door.ask("POST", f"programs/{program}/activities", purchase(f"b-{number}", "m-1", amount))
                for door, amount in zip(doors, amounts, strict=True)
            )
        )
        assert _statuses(answers) == {201: 1, 422: 1}
        for answer, amount in zip(answers, amounts, strict=True):
            if answer.status_code == 201:
                total += amount // 100
            else:
                assert answer.json()["code"] == "idempotency_mismatch"
        assert await doors[number % 2].available(program, "m-1") == total
    await town.prove()


MEMBERS = 40
LINES = 800
REQUESTS = 240
PIECES = 25
WISHES = 60
BUDGET = 1_000_000


@pytest.mark.crash
async def test_a_worker_and_a_gateway_are_killed_while_requests_flow(town: Town, doors: Sequence[Door]) -> None:
    program = "two-of-each"
    await doors[0].publish(grocery(program))
    await doors[0].call("PUT", f"programs/{program}/rewards/off", voucher(100, stock=PIECES), 201)
    members = [f"m-{number}" for number in range(MEMBERS)]
    await gather_bounded([partial(doors[0].enrol, program, member) for member in members], SEVERAL)
    await gather_bounded(
        [partial(doors[0].report, program, purchase(f"first-{member}", member, BUDGET)) for member in members], SEVERAL
    )
    expected = Counter(dict.fromkeys(members, points_of(BUDGET)))
    file = [_basket(f"line-{number}", members[number % MEMBERS], number) for number in range(LINES)]
    single = [_basket(f"till-{number}", members[number * 7 % MEMBERS], number) for number in range(REQUESTS)]
    for basket in (*file, *single):
        expected[basket["member"]] += _worth(basket)

    callers = Doors(*doors)
    progress = _Progress()

    async def buy(number: int) -> int:
        path = f"programs/{program}/activities"
        answer = await callers.insist(number, "POST", path, single[number])
        progress.step()
        return answer.status_code

    async def wish(number: int) -> str:
        body = {"member": members[number % MEMBERS], "reward": "off", "id": f"r-{number}"}
        path = f"programs/{program}/redemptions"
        answer = await callers.insist(number, "POST", path, body, idempotency_key=f'"wish-{number}"')
        progress.step()
        return str(answer.json()["state" if answer.is_success else "code"])

    # Both ways at once, and in the middle of it: a worker dies, another begins, then a gateway dies.
    batch = await doors[0].send_batch(program, file)
    wishes = [partial(wish, number) for number in range(WISHES)]
    mixed: list[Any] = [
        deed for number in range(REQUESTS) for deed in (partial(buy, number), *wishes[number : number + 1])
    ]
    working = asyncio.create_task(gather_bounded(mixed, 2 * SEVERAL))
    await progress.reaches(60)
    await town.until(partial(_applied_by, town, "points-2"), "the second worker to have its share")
    town.kill("points-2")
    await progress.reaches(120)
    town.start("points-2")
    await progress.reaches(200)
    town.kill("gateway-2")
    results = await working

    assert callers.failed_over, "nobody noticed the gateway's death"
    found = Counter(results)
    assert found[200] + found[201] == REQUESTS, found
    assert (found["fulfilled"], found["sold_out"]) == (PIECES, WISHES - PIECES), found
    shown = await town.until(partial(_done, doors[0], batch), "the file to be done")
    assert [shown[count] for count in ("posted", "refused", "rejected", "duplicate")] == [LINES, 0, 0, 0]
    await town.ready("points-2")
    last = await _shared_again(town, doors[0], program, members)
    expected += last.worth
    await town.prove()
    buyers = await town.rows("select member, count(*) * 100 from redemption.sagas "
                             "where program = $1 and state = 'fulfilled' group by member", program)  # fmt: skip
    expected.subtract(dict(buyers))
    assert {member: await doors[0].available(program, member) for member in members} == dict(expected)
    assert await _known(town, program) == MEMBERS + LINES + REQUESTS + last.count
    town.start("gateway-2")
    await town.ready("gateway-2")
    assert await doors[1].available(program, members[0]) == expected[members[0]]


class _Progress:
    """Counts what is done, for those who wait for some of it."""

    def __init__(self) -> None:
        self.done = 0

    def step(self) -> None:
        self.done += 1

    async def reaches(self, number: int) -> None:
        await until(lambda: self.done >= number, f"{number} requests to be answered")


async def _known(town: Town, program: str) -> int:
    return int(await town.value("select count(*) from points.activities where program = $1", program))


@dataclass(slots=True)
class _Sent:
    """How many baskets went to the workers, and what they are worth to each member."""

    worth: Counter[str]
    count: int


async def _shared_again(town: Town, door: Door, program: str, members: Sequence[str]) -> _Sent:
    """A basket for everybody reaches every partition: who came back has its share, and who was alone gave it up.

    As often as it takes: where the machine is busy a worker may lose its share once more, and has it a moment later.
    """
    sent = _Sent(Counter(), 0)

    async def have_both_applied() -> bool:
        baskets = [_basket(f"last-{sent.count + number}", member, number) for number, member in enumerate(members)]
        await gather_bounded([partial(door.report, program, basket) for basket in baskets], SEVERAL)
        sent.count += len(baskets)
        for basket in baskets:
            sent.worth[basket["member"]] += _worth(basket)
        return all([await _applied_by(town, part) for part in ("points", "points-2")])

    await town.until(have_both_applied, "both workers to apply their share")
    return sent


async def _applied_by(town: Town, part: str) -> bool:
    """Whether this process, since it began, has applied anything."""
    try:
        return await town.metric(part, "laurel_messages_total", outcome="applied") > 0
    except httpx.TransportError:
        # It is too busy to say so.
        return False


def _basket(id_: str, member: str, number: int) -> dict[str, Any]:
    amount = 100 + 37 * number
    return purchase(id_, member, amount, produce=amount // 3 if number % 3 == 0 else 0)


def _worth(basket: dict[str, Any]) -> int:
    produce = sum(line["amount"] for line in basket["lines"] if "category" in line)
    return points_of(basket["amount"], produce)


async def _done(door: Door, batch: str) -> Any:
    shown = await door.call("GET", batch)
    return shown if shown["state"] == "done" else None


def _statuses(answers: Sequence[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)
