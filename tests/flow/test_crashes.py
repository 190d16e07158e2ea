"""Every process dies, as by power loss, at every step between two promises, while tills and members go on asking."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial

import httpx
import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import Doors, Town, grocery, points_of, purchase, voucher

pytestmark = [pytest.mark.anyio, pytest.mark.crash, pytest.mark.kafka]

PARTS = {"gateway": "api", "gateway-worker": "worker", "points": "both", "redemption": "both"}
MEMBERS = 12
CALLERS = 5
PACE_SECONDS = 0.2
AMOUNT = 10_000
PRICE = 60

# Visits are counted from the start of a process: a few, so that it dies with work in hand and not while it settles.
SENDING = ("before_commit:kill:4", "after_commit:kill:5", "after_publish:kill:4", "after_mark:kill:3")
HEARING = ("before_commit:kill:3", "after_commit:kill:4", "before_offsets:kill:2")
BOTH = (*SENDING, "before_offsets:kill:2")
DEATHS = {"gateway": SENDING, "gateway-worker": HEARING, "points": BOTH, "redemption": BOTH}


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    async with Town(tmp_path_factory.mktemp("town"), town_urls, town_kafka, PARTS, forks).open() as town:
        yield town


@pytest.mark.parametrize("part", PARTS)
async def test_a_process_dies_at_every_step_and_nothing_is_lost_or_done_twice(town: Town, part: str) -> None:
    door = town.door()
    program = f"dying-{part}"
    await door.publish(grocery(program))
    await door.call("PUT", f"programs/{program}/rewards/off", voucher(PRICE), 201)
    crowd = _Crowd(town, program)
    # An enrolment asked again would be told that there is such a member, so each is given its time.
    await door.enrol(program, *crowd.members)

    asking = asyncio.create_task(crowd.ask_until_told())
    try:
        town.kill(part)
        for failpoint in (*DEATHS[part], ""):
            town.start(part, failpoint)
            if not failpoint:
                break
            died = partial(town.exit_code, part)
            await town.until(partial(_ended, died, asking), f"{part} to die at {failpoint}")
            assert died() == -signal.SIGKILL, town.told()
        await town.ready(part)
    finally:
        crowd.enough.set()
        await asking

    await town.prove()
    bought, redeemed = crowd.bought, crowd.redeemed
    activities = "select count(*), count(distinct activity) from points.activities where program = $1 and code is null"
    assert await town.rows(activities, program) == [(bought.total(), bought.total())]
    for member in crowd.members:
        shown = await door.balance(program, member)
        assert shown["lifetime"]["earned"] == bought[member] * points_of(AMOUNT)
        assert shown["lifetime"]["spent"] == redeemed[member] * PRICE
        assert (shown["held"], shown["owed"]) == (0, 0)
    vouchers = "select count(*), count(distinct voucher) from redemption.vouchers where program = $1"
    assert await town.rows(vouchers, program) == [(redeemed.total(), redeemed.total())]


class _Crowd:
    """Callers who buy and redeem, each asking again and again until there is a last word."""

    def __init__(self, town: Town, program: str) -> None:
        self.members: Sequence[str] = [f"m-{number}" for number in range(MEMBERS)]
        self.bought: Counter[str] = Counter()
        self.redeemed: Counter[str] = Counter()
        self.enough = asyncio.Event()
        self._town = town
        self._doors = Doors(town.door())
        self._program = f"programs/{program}"
        self._numbers = itertools.count()

    async def ask_until_told(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._ask())

    async def _ask(self) -> None:
        while not self.enough.is_set():
            number = next(self._numbers)
            member = self.members[number % MEMBERS]
            await self._buy(number, member)
            if number % 3 == 0:
                await self._redeem(number, member)
            # As people at tills do; a crowd that never draws breath would only keep the machine from starting anew.
            await asyncio.sleep(PACE_SECONDS)

    async def _buy(self, number: int, member: str) -> None:
        basket = purchase(f"b-{number}", member, AMOUNT)
        self._is_done(await self._doors.insist(0, "POST", f"{self._program}/activities", basket))
        self.bought[member] += 1

    async def _redeem(self, number: int, member: str) -> None:
        body = {"member": member, "reward": "off", "id": f"r-{number}"}
        path = f"{self._program}/redemptions"
        self._is_done(await self._doors.insist(0, "POST", path, body, idempotency_key=f'"r-{number}"'))
        self.redeemed[member] += 1

    def _is_done(self, answer: httpx.Response) -> None:
        """Whoever dies, the last word is that it is done; any other is told at once, while the logs still say why."""
        asked = f"{answer.request.method} {answer.request.url.path}"
        assert answer.status_code in {200, 201}, f"{asked}: {answer.status_code} {answer.text}\n{self._town.told()}"


def _ended(exit_code: partial[int | None], asking: asyncio.Task[None]) -> bool:
    if asking.done():
        asking.result()
    return exit_code() is not None
