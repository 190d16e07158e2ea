"""Whoever hears no answer asks again: at every route that writes, the same again changes nothing.

Each route of the OpenAPI document is asked in a program of its own: by several at once, again, with another body, by
another partner; and once more elsewhere, through a gateway that dies between its commit and its answer.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

import httpx
import pytest

from laurel.errors import PROBLEMS
from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import DEED_SECONDS, Door, Town, grocery
from tests.flow.writes import ANEW, FILE, REPLAYED, SAME, SISTER, WRITES, Place, Write

pytestmark = [pytest.mark.anyio, pytest.mark.crash]

PLAIN: Final = "plain"
DYING: Final = "dying"
MORTAL: Final = "gateway-3"
PARTS: Final = {"gateway": "both", "gateway-2": "api", MORTAL: "api", "points": "both", "redemption": "both"}
SETTINGS: Final = {"outside_private_addresses": True, "outside_plain_http": True, "batch_silence_seconds": 3}
KEY: Final = '"walk"'
PART_SECONDS: Final = 1.1
"""After so long lines of a file are stored, however few."""
SCOPES: Final = ["earn", "redeem", "members", "read", "adjust"]

# How often something was said or sent, and how far lines of a file are, is not what it led to.
_TABLES: Final = """
    select c.table_schema || '.' || c.table_name from information_schema.columns c
    join pg_class k on k.relname = c.table_name and k.relnamespace = c.table_schema::regnamespace
    where c.column_name = 'program' and c.table_schema in ('gateway', 'points', 'redemption') and not k.relispartition
    and k.relkind in ('r', 'p') and c.table_name !~ '^(outbox|inbox|batch|events|deliveries)'
"""
_SUMS: Final = (
    "select 'lots', sum(granted)::text, sum(remaining)::text from points.lots where program = $1",
    "select 'blocks', sum(units)::text, sum(used)::text from points.blocks where program = $1",
    "select 'holds', state, count(*)::text from points.holds where program = $1 group by state",
    "select 'journals', kind, count(*)::text from points.journals where program = $1 group by kind",
    "select 'redemptions', state, count(*)::text from redemption.sagas where program = $1 group by state",
    "select 'vouchers', state, count(*)::text from redemption.vouchers where program = $1 group by state",
)
_UNENDED: Final = "select count(*) from gateway.batches where program = $1 and state not in ('done', 'cut_off')"
Effect = frozenset[tuple[str, ...]]


class Walk:
    """A town, the keys of those who ask there, and what the OpenAPI document says of each operation that writes."""

    def __init__(self, town: Town, secrets: dict[tuple[str, str], str], operations: dict[str, Any]) -> None:
        self.town = town
        self.operations = operations
        self.effects: dict[str, Effect] = {}
        """What each request has led to, when nobody died."""
        self._secrets = secrets

    def place(self, name: str, run: str) -> Place:
        own, junior = (self.town.door(secret=self._secrets[run, who]) for who in ("acme", "junior"))
        return Place(program_of(name, run), self.town.door(), own, junior)

    def door(self, name: str, run: str, gateway: str, who: str = "acme") -> Door:
        """Return a gateway's door for who may ask this: a partner, or the operator where nobody else may."""
        scopes = [scope for each in self.operations[name]["security"] for scope in each["key"]]
        return self.town.door(gateway, "" if scopes == ["admin"] else self._secrets[run, who])

    def headers(self, name: str) -> dict[str, str]:
        named = {each["name"] for each in self.operations[name]["parameters"]}
        return {"idempotency_key": KEY} if "Idempotency-Key" in named else {}

    def needs_key(self, name: str) -> bool:
        asked = self.operations[name]["parameters"]
        return any(each["name"] == "Idempotency-Key" and each["required"] for each in asked)

    def start_mortal(self) -> None:
        """Start the gateway that ends at its next commit."""
        self.town.start(MORTAL, "after_commit:kill:1")

    async def effect(self, program: str) -> Effect:
        """Return what stands of a program when everything has arrived: how many rows of each kind, and their sums."""
        await self.town.until(partial(self._has_no_file, program), "files to end")
        await self.town.rest()
        tables = [name for (name,) in await self.town.rows(_TABLES)]
        assert len(tables) > 20
        counts = [f"select '{each}', 'rows', count(*)::text from {each} where program = $1" for each in tables]
        found = await self.town.rows(" union all ".join([*counts, *_SUMS]), program)
        return frozenset(tuple(map(str, row)) for row in found)

    async def _has_no_file(self, program: str) -> bool:
        return not await self.town.value(_UNENDED, program)


def program_of(name: str, run: str) -> str:
    return f"{name}-{run}".replace("_", "-")


@pytest.fixture(scope="module")
async def town(
    town_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Town]:
    place = tmp_path_factory.mktemp("town")
    async with Town(place, town_urls, town_kafka, PARTS, forks, **SETTINGS).open() as town:
        yield town


@pytest.fixture(scope="module")
async def walk(town: Town) -> Walk:
    operator = town.door()
    await operator.publish(grocery(SISTER))
    secrets = {}
    for run, who in itertools.product((PLAIN, DYING), ("acme", "junior", "rival")):
        partner = "rival" if who == "rival" else "acme"
        await operator.ask("PUT", f"partners/{partner}", {"name": partner})
        programs = [SISTER, *(program_of(name, run) for name in WRITES)]
        body = {"scopes": SCOPES, "programs": programs, "limits": {"adjust": 5 if who == "junior" else 10_000}}
        secrets[run, who] = (await operator.call("POST", f"partners/{partner}/keys", body, 201))["secret"]
    paths = (await operator.http.get("/openapi.json")).json()["paths"]
    described = [(method, operation) for item in paths.values() for method, operation in item.items()]
    walk = Walk(town, secrets, {each["operationId"]: each for method, each in described if method != "get"})
    town.kill(MORTAL)
    walk.start_mortal()
    return walk


async def test_every_route_that_writes_is_walked(walk: Walk) -> None:
    assert WRITES.keys() == {name for name in walk.operations if not name.startswith("head_")}


async def test_a_key_is_wanted_where_the_contract_wants_one(walk: Walk) -> None:
    needing = {name for name in WRITES if walk.needs_key(name)}
    assert needing == {"redeem", "place_hold", "adjust_points", "transfer_points", "exchange_points", "merge_member",
                       "unmerge_member"}  # fmt: skip


@pytest.mark.parametrize("name", WRITES)
async def test_the_same_again_changes_nothing(walk: Walk, name: str) -> None:
    at, headers = walk.place(name, PLAIN), walk.headers(name)
    here, there = (walk.door(name, PLAIN, gateway) for gateway in ("gateway", "gateway-2"))
    asked = await WRITES[name](at)
    before = await walk.effect(at.program)
    if walk.needs_key(name):
        missing = await asked.ask(here)
        assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing")
        assert await walk.effect(at.program) == before

    doors = itertools.cycle((here, there))
    answers = await asyncio.gather(*(asked.ask(next(doors), **headers) for _ in range(asked.at_once)))
    first = _first_of(asked, answers)
    stands = await walk.effect(at.program)
    _is_again(asked, first, await asked.ask(there, **headers))
    if asked.again == ANEW:
        return
    assert await walk.effect(at.program) == stands

    if asked.other is not None:
        refused = await asked.ask(here, asked.other, **headers)
        assert (refused.status_code, refused.json()["code"]) == (PROBLEMS[asked.says].status, asked.says)
        # What is refused for good is kept, and moves nothing.
        assert _sums(await walk.effect(at.program)) == _sums(stands)
        _is_again(asked, first, await asked.ask(here, **headers))
    if asked.another:
        others = await asked.ask(walk.door(name, PLAIN, "gateway", "rival"), **headers)
        assert "idempotency-replayed" not in others.headers
        assert others.json().get("code") != "idempotency_mismatch"
    walk.effects[name] = stands


@pytest.mark.parametrize("name", WRITES)
async def test_who_dies_between_commit_and_answer_takes_nothing_with_it(walk: Walk, name: str) -> None:
    town, at, headers = walk.town, walk.place(name, DYING), walk.headers(name)
    asked = await WRITES[name](at)
    before = await walk.effect(at.program)
    await town.ready(MORTAL)
    dying = walk.door(name, DYING, MORTAL)
    try:
        answer = await (_send_and_kill(walk, asked, dying) if "/batches" in asked.path else asked.ask(dying, **headers))
    except httpx.TransportError:
        await town.until(lambda: town.exit_code(MORTAL) == -signal.SIGKILL, "the gateway to be dead")
        # The next one comes up while we look at what this one has left.
        walk.start_mortal()
    else:
        assert answer.is_success, answer.text
        moved = _sums(await walk.effect(at.program)) != _sums(before)
        assert not moved, "a route that moves points commits where it can be seen to die"
        return
    if asked.again == ANEW:
        return
    living = [walk.door(name, DYING, gateway) for gateway in ("gateway-2", "gateway")]
    again = await _insist(asked, living, headers)
    if asked.again in {REPLAYED, SAME}:
        assert again.is_success, again.text
        assert ("idempotency-replayed" in again.headers) == (asked.again == REPLAYED)
    elif "upload-offset" not in asked.headers:
        assert again.json()["code"] == asked.again
    if "location" in again.headers:
        await living[0].call("GET", again.headers["location"].removeprefix("/v1/"))
    assert await walk.effect(at.program) == walk.effects.get(name, await walk.effect(at.program))


async def test_after_all_that_everything_is_proven(walk: Walk) -> None:
    await walk.town.prove()


def _first_of(asked: Write, answers: list[httpx.Response]) -> httpx.Response:
    """Return the answer to the first of those who asked at once; the others are told as if they had come later."""
    told = [f"{each.status_code} {each.text}" for each in answers]
    if asked.again == REPLAYED:
        assert all(each.is_success for each in answers), told
        firsts = [each for each in answers if "idempotency-replayed" not in each.headers]
        assert len(firsts) == 1, told
    else:
        firsts = [each for each in answers if each.is_success]
        assert firsts, told
        assert asked.again == SAME or len(firsts) == 1, told
    for each in answers:
        if each is not firsts[0]:
            _is_again(asked, firsts[0], each)
    return firsts[0]


def _is_again(asked: Write, first: httpx.Response, again: httpx.Response) -> None:
    """The same once more: as the first, or told that it is there already."""
    if asked.again not in {REPLAYED, SAME, ANEW}:
        assert (again.status_code, again.json()["code"]) == (PROBLEMS[asked.again].status, asked.again), again.text
        return
    assert again.is_success, again.text
    if asked.again == REPLAYED:
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
    if asked.alike and asked.again != ANEW and first.content:
        assert _without_codes(again) == _without_codes(first)


def _without_codes(answer: httpx.Response) -> Any:
    shown = answer.json()
    for each in shown.get("vouchers") or []:
        each.pop("code", None)
    return shown


def _sums(effect: Effect) -> Effect:
    """What of it is points, holds, redemptions and vouchers, whatever was noted beside them."""
    return frozenset(each for each in effect if each[1] != "rows" and each[0] != "journals")


async def _insist(asked: Write, doors: list[Door], headers: dict[str, str]) -> httpx.Response:
    """Ask until there is a last word, as a till does; a file goes on where it broke off."""
    async with asyncio.timeout(DEED_SECONDS):
        for door in itertools.cycle(doors):
            if "upload-offset" in asked.headers:
                taken = (await door.http.head(f"/v1/{asked.path}")).headers["upload-offset"]
                assert asked.content is not None
                asked = replace(asked, content=asked.content[int(taken) :], headers={**FILE, "upload-offset": taken})
            answer = await asked.ask(door, **headers)
            if asked.content is not None or answer.status_code not in {202, 429, 503}:
                return answer
    raise AssertionError("unreachable")


async def _send_and_kill(walk: Walk, asked: Write, door: Door) -> httpx.Response:
    """Send a file line by line, and end the gateway when it has taken some of it for good."""
    assert asked.content is not None
    lines = asked.content.splitlines(keepends=True)

    async def body() -> AsyncIterator[bytes]:
        yield lines[0]
        await asyncio.sleep(PART_SECONDS)
        yield b"".join(lines[1:-1])
        taken = "select max(received) > 0 from gateway.batches where program = $1"
        await walk.town.until(partial(walk.town.value, taken, asked.path.split("/")[1]), "lines to be taken")
        walk.town.kill(MORTAL)
        yield lines[-1]

    return await door.http.request(asked.method, f"/v1/{asked.path}", content=body(), headers=asked.headers)
