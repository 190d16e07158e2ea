"""Callers who redeem in every way there is, ask again until there is a last word, and keep book of what they were told.

The book knows nothing of sagas: points and seats are had by whom somebody told so, until told otherwise.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx

from laurel.io.database import is_away
from services.redemption.domain.partnering import call_id
from services.redemption.domain.state import SagaKey
from tests.flow.halting import Halting
from tests.flow.stage import JOINED_AT, Doors, Town, grocery, purchase, voucher
from tests.redemption.partner import Partner

MEMBERS = 10
CALLERS = 6
PACE_SECONDS = 0.05
POINTS = 10_000
SEATS = 3
ASKING_A_DAY = 5
PIECES = 4
PRICES = {"off": 50, "rare": 40, "ticket": 30, "seat": 20}
MEMBER = {"by": "member", "reason": "changed their mind"}
PROVIDER = {"by": "provider", "reason": "it broke"}
_DAYS = "2036-03-{:02}"
PATIENCE_SECONDS = 180.0
"""Somebody dies every few seconds. Who dies with the answer of a partner in hand leaves a call to its lease, of twenty,
and what came of it is shown by a gateway that lives for long enough."""
PATIENCE_WITH_KAFKA_SECONDS = 600.0
"""On a busy machine a real broker takes twenty seconds to come back, and dies again at the next step."""
_REAL_SESSION_MS = 6000
_OF_IT = "where program = $1 and redemption = $2"
_HOW_IT_STANDS = (
    f"select state, hold, step, at, now() from redemption.sagas {_OF_IT}",
    f"select attempts, due_at, now() from redemption.calls {_OF_IT}",
    f"select state, epoch, sequence from gateway.redemptions {_OF_IT}",
    "select kind, state, code, delayed, created_at from gateway.requests where program = $1 and subject = $2",
    *(
        f"select member, source, sequence, type, reason, detail, parked_at from {service}.parked "
        "where program = $1 and $2 <> ''"
        for service in ("gateway", "points", "redemption")
    ),
)


class Redeemers:
    """A crowd in a program of its own."""

    def __init__(self, town: Town, program: str, partner: Partner, secrets: dict[str, str]) -> None:
        self.enough = asyncio.Event()
        self.fulfilled: Counter[str] = Counter()
        """By reward, what somebody has."""
        self.spent: Counter[str] = Counter()
        """By member, the points that these cost."""
        self.asked: set[str] = set()
        self.used: set[str] = set()
        self.partners: set[str] = set()
        self.seats: Counter[str] = Counter()
        self._town = town
        self._program = program
        self._at = f"programs/{program}"
        self._partner = partner
        self._secrets = secrets
        self._doors = Doors(town.door())
        is_real = town.kafka.kafka_session_timeout_ms >= _REAL_SESSION_MS
        self._patience = PATIENCE_WITH_KAFKA_SECONDS if is_real else PATIENCE_SECONDS
        self._numbers = itertools.count()
        self._members = [f"m-{number}" for number in range(MEMBERS)]
        self._stories: Sequence[Callable[[int, str], Awaitable[None]]] = (
            self._uses, self._sits, self._travels, self._confirms, self._lets_go, self._changes_mind, self._is_poor,
            self._sits, self._races, self._takes_what_is_rare,
        )  # fmt: skip

    async def settle_in(self) -> None:
        """Publish what there is to redeem, and give everybody points but one."""
        product = {"kind": "product", "unit": "point"}
        fulfilment = {"url": self._partner.url, "timeout_seconds": 5, "deadline_seconds": 3600}
        rewards = {
            "off": voucher(PRICES["off"], stock=100_000),
            "rare": voucher(PRICES["rare"], stock=PIECES),
            "ticket": {**product, "name": "A ticket", "price": PRICES["ticket"], "fulfilment": fulfilment},
            "seat": {**product, "name": "A seat", "price": PRICES["seat"], "resource": "hall"},
        }
        await self._insist("PUT", self._at, grocery(self._program))
        for name, document in rewards.items():
            await self._insist("PUT", f"{self._at}/rewards/{name}", document)
        await self._insist("PUT", f"{self._at}/resources/hall", {"capacity": SEATS})
        told = await self._insist("GET", f"{self._at}/rewards/ticket/fulfilment")
        self._secrets[self._program] = told.json()["secret"]
        for member in ["poor", *self._members]:
            await self._insist("POST", f"{self._at}/members", {"member": member, "enrolled_at": JOINED_AT})
        for member in self._members:
            await self._insist("POST", f"{self._at}/activities", purchase(f"b-{member}", member, POINTS * 100))

    async def ask_until_enough(self) -> None:
        """Go on and on; whatever is begun comes to its end."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._go_on())

    async def _go_on(self) -> None:
        while not self.enough.is_set():
            number = next(self._numbers)
            turn, story = divmod(number, len(self._stories))
            # Each story in turn with each member, or some would never meet some of the partitions.
            await self._stories[story](number, self._members[(turn + story) % MEMBERS])
            await asyncio.sleep(PACE_SECONDS)

    # What they do. ---------------------------------------------------------------------------------------------

    async def _uses(self, number: int, member: str) -> None:
        """Two tills want the same voucher; one of them has it, and may think better of it."""
        code = await self._buys(number, member, "off")
        tills = [f"{number}-a", f"{number}-b"]
        answers = await asyncio.gather(*(self._use(code, till) for till in tills))
        self._is_one_of(answers, [200, 409])
        if number % 3 == 0:
            (won,) = [till for till, answer in zip(tills, answers, strict=True) if answer.status_code == 200]
            undone = await self._insist("POST", f"{self._at}/vouchers/{code}/void", {"reference": won})
            self._is_one_of([undone], [200])
            self._is_one_of([await self._use(code, f"{number}-c")], [200])
        self.used.add(f"r-{number}")

    async def _changes_mind(self, number: int, member: str) -> None:
        code = await self._buys(number, member, "off")
        await self._takes_back(number, member, "off", PROVIDER)
        self._is_one_of([await self._use(code, f"{number}-a")], [409])

    async def _sits(self, number: int, member: str) -> None:
        """Five want to sit on each day; three can."""
        day = _DAYS.format(1 + number // (ASKING_A_DAY * 5) % 31)
        answer = await self._redeem(number, member, "seat", on=day)
        if answer.status_code == 409:
            assert answer.json()["code"] == "sold_out", answer.text
            return
        self._has(number, member, "seat", answer)
        self.seats[day] += 1

    async def _travels(self, number: int, member: str) -> None:
        """A partner fulfils, or refuses."""
        name = call_id(SagaKey(self._program, member, f"r-{number}"))
        if number % 3 == 0:
            self._partner.done[name] = {"state": "refused", "code": "full"}
        answer = await self._redeem(number, member, "ticket")
        if number % 3 == 0:
            assert (answer.status_code, answer.json()["code"]) == (409, "partner_refused"), answer.text
            return
        self._has(number, member, "ticket", answer)
        self.partners.add(name)

    async def _confirms(self, number: int, member: str) -> None:
        held = await self._redeem(number, member, "off", confirm="later")
        assert held.json()["state"] in {"holding", "fulfilled"}, held.text
        done = await self._insist("POST", f"{self._at}/redemptions/r-{number}/confirm")
        self._has(number, member, "off", done)

    async def _lets_go(self, number: int, member: str) -> None:
        held = await self._redeem(number, member, "off", confirm="later")
        self._is_one_of([held], [held.status_code if held.is_success else 201])
        await self._cancel(number, MEMBER)

    async def _is_poor(self, number: int, _member: str) -> None:
        answer = await self._redeem(number, "poor", "off")
        assert (answer.status_code, answer.json()["code"]) == (409, "insufficient_points"), answer.text

    async def _races(self, number: int, member: str) -> None:
        """It is taken back while it is asked for."""
        asked, _ = await asyncio.gather(self._redeem(number, member, "off"), self._cancel(number, PROVIDER))
        assert asked.is_success or asked.json()["code"] == "redemption_cancelled", asked.text

    async def _takes_what_is_rare(self, number: int, member: str) -> None:
        answer = await self._redeem(number, member, "rare")
        if answer.status_code == 409:
            assert answer.json()["code"] == "sold_out", answer.text
            return
        self._has(number, member, "rare", answer)

    # How they ask. ---------------------------------------------------------------------------------------------

    async def _buys(self, number: int, member: str, reward: str) -> str:
        """Return the code of its voucher, which is told once, or read afterwards."""
        self._has(number, member, reward, await self._redeem(number, member, reward))
        return str(await self._town.until(partial(self._code, number), f"the code of r-{number}"))

    async def _code(self, number: int) -> str | None:
        """Nothing while whoever keeps the codes does not answer."""
        shown = await self._insist("GET", f"{self._at}/redemptions/r-{number}")
        (made,) = shown.json()["vouchers"]
        code: str | None = made.get("code")
        return code

    async def _redeem(self, number: int, member: str, reward: str, **more: Any) -> httpx.Response:
        name = f"r-{number}"
        self.asked.add(name)
        body = {"member": member, "reward": reward, "id": name, **more}
        return await self._insist("POST", f"{self._at}/redemptions", body, idempotency_key=f'"{name}"')

    async def _takes_back(self, number: int, member: str, reward: str, why: dict[str, str]) -> None:
        await self._cancel(number, why)
        self.fulfilled[reward] -= 1
        self.spent[member] -= PRICES[reward]

    async def _cancel(self, number: int, why: dict[str, str]) -> None:
        path = f"{self._at}/redemptions/r-{number}/cancel"
        answer = await self._insist("POST", path, why)
        while answer.status_code == 404:
            await asyncio.sleep(0.01)
            answer = await self._insist("POST", path, why)
        self._is_one_of([answer], [200])
        assert answer.json()["state"] == "cancelled", answer.text

    async def _use(self, code: str, till: str) -> httpx.Response:
        return await self._insist("POST", f"{self._at}/vouchers/{code}/redeem", {"reference": till})

    async def _insist(self, method: str, path: str, body: Any = None, **headers: Any) -> httpx.Response:
        asked = (body or {}).get("id", path)
        told = partial(self._how_it_stands, asked)
        answer = await self._doors.insist(0, method, path, body, seconds=self._patience, told=told, **headers)
        assert answer.status_code in {200, 201, 404, 409}, f"{method} {path}: {answer.text}\n{self._town.told()}"
        return answer

    async def _how_it_stands(self, asked: str) -> str:
        """Say how far a redemption has come, whose id is part of what was asked, and what the processes say."""
        name = next((part for part in asked.split("/") if part.startswith("r-")), "")
        said = []
        for query in _HOW_IT_STANDS:
            rows = await self._town.until(partial(self._rows, query, name), "the database, to say how it stands")
            said += [f"{query}: {row}" for row in rows[0]]
        return "\n".join([*said, *await self._town.healths(), self._town.told()])

    async def _rows(self, query: str, name: str) -> list[Any]:
        """Return what a query finds in a list; nothing while the database is away."""
        try:
            return [await self._town.rows(query, self._program, name)]
        except Exception as error:
            if not is_away(error):
                raise
            return []

    def _has(self, number: int, member: str, reward: str, answer: httpx.Response) -> None:
        told = answer.json()
        assert answer.is_success, f"r-{number}: {answer.status_code} {answer.text}"
        assert told["state"] == "fulfilled", told
        self.fulfilled[reward] += 1
        self.spent[member] += PRICES[reward]

    def _is_one_of(self, answers: Sequence[httpx.Response], wanted: Sequence[int]) -> None:
        """Each status once."""
        told = [f"{each.request.url.path}: {each.status_code} {each.text}" for each in answers]
        assert sorted(each.status_code for each in answers) == list(wanted), told

    # What must have come of it. --------------------------------------------------------------------------------

    async def settle_up(self) -> None:
        """Everything is proved, and is what was told."""
        await self._town.prove()
        rows, program = self._town.rows, self._program
        door = self._town.door()
        for member in ["poor", *self._members]:
            shown = await door.balance(program, member)
            earned = 0 if member == "poor" else POINTS
            seen = (shown["available"], shown["held"], shown["owed"], shown.get("lifetime", {}).get("spent", 0))
            assert seen == (earned - self.spent[member], 0, 0, self.spent[member]), member
        sagas = await rows("select redemption from redemption.sagas where program = $1", program)
        assert sorted(name for (name,) in sagas) == sorted(self.asked)
        kept = (
            "select reward, count(*) from redemption.sagas where program = $1 and state = 'fulfilled' group by reward"
        )
        assert dict(await rows(kept, program)) == +self.fulfilled
        stock = "select reward, reserved, taken from redemption.stock where program = $1 and total is not null"
        for reward, reserved, taken in await rows(stock, program):
            assert (reserved, taken) == (0, self.fulfilled[reward]), reward
        assert self.fulfilled["rare"] <= PIECES
        assert max(self.seats.values(), default=0) <= SEATS
        tallies = "select name, used from redemption.tallies where program = $1 and used > 0"
        assert dict(await rows(tallies, program)) == {f"seats:hall:{day}": n for day, n in self.seats.items()}
        uses = (
            "select redemption from redemption.voucher_uses join redemption.vouchers using (program, member, voucher)"
            " where program = $1"
        )
        assert sorted(name for (name,) in await rows(uses, program)) == sorted(self.used)
        done = {name for name, said in self._partner.done.items() if said["state"] == "fulfilled"}
        assert done == self.partners


@asynccontextmanager
async def redeeming(town: Halting, program: str) -> AsyncIterator[None]:
    """Let a crowd redeem for the block; afterwards all must be proved and be as they were told."""
    secrets: dict[str, str] = {}
    async with Partner(lambda program, _: secrets[program]).open() as partner:
        crowd = Redeemers(town, program, partner, secrets)
        await crowd.settle_in()
        town.asking = asyncio.create_task(crowd.ask_until_enough())
        try:
            yield
        finally:
            crowd.enough.set()
            await town.asking
        await crowd.settle_up()
