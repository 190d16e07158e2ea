"""Laurel as it runs: its processes on a database and a broker, callers at its doors, and the proofs at the end."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx

from laurel.embedded.children import Child, stop_all
from laurel.embedded.ports import LOCALHOST, free_port
from laurel.embedded.secret_file import Secrets
from laurel.embedded.services import Role, Surroundings, environment
from laurel.io import accounting
from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from laurel.program.reading import read_yaml
from services.gateway import verifying as gateway_proofs
from services.points import verifying as points_proofs
from services.redemption import verifying as redemption_proofs
from tests.flow.nursery import Nursery
from tests.flow.published import committed

# An idle machine needs a tenth of these; they only bound how long a test that fails may take.
READY_SECONDS = 90.0
DEED_SECONDS = 90.0
ANSWER_SECONDS = 30

NOW = datetime.now(UTC).replace(microsecond=0)
JOINED_AT = (NOW - timedelta(days=30)).isoformat()
BOUGHT_AT = (NOW - timedelta(hours=2)).isoformat()
PRODUCE = "TROPICAL FRUIT"

ONE_OF_EACH = {"gateway": "both", "points": "both", "redemption": "both"}
TWO_OF_EACH = {**ONE_OF_EACH, "gateway-2": "both", "points-2": "worker"}

_GROCERY: Any = read_yaml((Path(__file__).parents[2] / "programs" / "grocery.yaml").read_text(encoding="utf-8"))
_POSITIONS = ("broker_state", "consumer_logs", "relay_positions", "alembic_version")
_LOOKED_AT_MAX = 50
_SAID = """
    select event from (
        select event, row_number() over (partition by type order by position desc) as place from gateway.events
    ) e where place <= $1
"""
_AGAIN = {202, 429, 503}
"""What an answer says that is not the last word."""


def grocery(program: str, **changes: Any) -> dict[str, Any]:
    """The shipped program under another name, on a wall clock unless told otherwise."""
    whole = {**_GROCERY, "program": program, "clock": "wall", **changes}
    document: dict[str, Any] = json.loads(json.dumps(whole, default=str))
    return document


def purchase(id_: str, member: str, amount: int, *, produce: int = 0, **more: Any) -> dict[str, Any]:
    """A basket in cents, of which `produce` is fresh fruit."""
    lines = [{"id": "1", "amount": amount - produce}, {"id": "2", "amount": produce, "category": PRODUCE}]
    return {
        "id": id_,
        "type": "purchase",
        "member": member,
        "occurred_at": BOUGHT_AT,
        "currency": "USD",
        "amount": amount,
        "lines": [line for line in lines if line["amount"]],
        **more,
    }


def giving_back(id_: str, of: str, member: str | None = None, **more: Any) -> dict[str, Any]:
    """A return, of everything unless it says less."""
    named = {"member": member} if member is not None else {}
    return {"id": id_, "type": "return", "of": of, "occurred_at": BOUGHT_AT, **named, **more}


def points_of(amount: int, produce: int = 0) -> int:
    """What grocery gives: a point a dollar, two more a dollar of fresh fruit, each rounded down once."""
    return amount // 100 + 2 * produce // 100


def voucher(price: int, **more: Any) -> dict[str, Any]:
    value = {"amount": 500, "currency": "USD"}
    return {"name": "5 off", "kind": "voucher", "unit": "point", "price": price, "value": value, **more}


def _visitor() -> httpx.AsyncClient:
    """Ask once in a while. Reading the world's certificates for it would take a tenth of a second each time."""
    return httpx.AsyncClient(timeout=5, verify=False)


async def until(
    condition: Callable[[], Any], what: str, seconds: float = DEED_SECONDS, told: Callable[[], str] = lambda: ""
) -> Any:
    """Wait for what must come; fails with what it last saw, and with what `told` says of the circumstances."""
    deadline = time.monotonic() + seconds
    while True:
        seen = condition()
        if asyncio.iscoroutine(seen):
            seen = await seen
        if seen:
            return seen
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}; last saw {seen!r}\n{told()}"
        await asyncio.sleep(0.03)


class Door:
    """One gateway as a merchant's application calls it. Every call says how long it wants to wait."""

    def __init__(self, port: int, secret: str) -> None:
        self.http = httpx.AsyncClient(
            base_url=f"http://{LOCALHOST}:{port}",
            headers={"authorization": f"Bearer {secret}", "prefer": f"wait={ANSWER_SECONDS}"},
            timeout=ANSWER_SECONDS + 15,
            verify=False,
        )

    async def close(self) -> None:
        await self.http.aclose()

    async def call(self, method: str, path: str, body: Any = None, expect: int = 200, **headers: str) -> Any:
        """Return the JSON of the answer, which has the status expected."""
        answer = await self.ask(method, path, body, **headers)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, f"/v1/{path}", json=body, headers=named)

    async def publish(self, document: Mapping[str, Any]) -> int:
        """Publish a program; returns its version."""
        answer = await self.ask("PUT", f"programs/{document['program']}", document)
        assert answer.status_code in {200, 201}, answer.text
        return int(answer.json()["version"])

    async def enrol(self, program: str, *members: str) -> None:
        async with asyncio.TaskGroup() as group:
            for member in members:
                body = {"member": member, "enrolled_at": JOINED_AT}
                group.create_task(self.call("POST", f"programs/{program}/members", body, 201))

    async def report(self, program: str, activity: Mapping[str, Any], expect: int = 201, **headers: str) -> Any:
        return await self.call("POST", f"programs/{program}/activities", activity, expect, **headers)

    async def redeem(self, program: str, key: str, member: str, reward: str, expect: int = 201, **more: Any) -> Any:
        body = {"member": member, "reward": reward, **more}
        path = f"programs/{program}/redemptions"
        return await self.call("POST", path, body, expect, idempotency_key=f'"{key}"')

    async def balance(self, program: str, member: str) -> dict[str, Any]:
        """Return what a member has of points, as a read shows it now."""
        shown = await self.call("GET", f"programs/{program}/members/{member}")
        balances: dict[str, Any] = {each["unit"]: each for each in shown["balances"]}
        return dict(balances.get("point", {"available": 0, "held": 0, "owed": 0}))

    async def available(self, program: str, member: str) -> int:
        return int((await self.balance(program, member))["available"])

    async def send_batch(self, program: str, activities: Sequence[Mapping[str, Any]]) -> str:
        """Send a file; returns where it can be watched."""
        body = b"".join(json.dumps(each).encode() + b"\n" for each in activities)
        answer = await self.http.post(
            f"/v1/programs/{program}/batches", content=body, headers={"content-type": "application/x-ndjson"}
        )
        assert answer.status_code == 202, answer.text
        return answer.headers["location"].removeprefix("/v1/")


class Doors:
    """Several gateways, as an application calls them that asks again until it knows, wherever somebody answers."""

    def __init__(self, *doors: Door) -> None:
        self._doors = doors
        self.failed_over = 0
        """How often nobody answered, or the answer was not the last word."""

    async def insist(
        self,
        first: int,
        method: str,
        path: str,
        body: Any = None,
        *,
        seconds: float = DEED_SECONDS,
        told: Callable[[], Awaitable[str]] | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Ask until there is a last word, beginning at the door numbered `first`; fails with what `told` says, too."""
        deadline = time.monotonic() + seconds
        turn = first
        seen = "nothing"
        while time.monotonic() < deadline:
            try:
                door = self._doors[turn % len(self._doors)]
                answer = await door.ask(method, path, body, prefer="wait=2", **headers)
            except httpx.TransportError as error:
                seen = repr(error)
                await asyncio.sleep(0.05)
            else:
                if answer.status_code not in _AGAIN:
                    return answer
                seen = f"{answer.status_code} {answer.text}"
            self.failed_over += 1
            turn += 1
        circumstances = await told() if told is not None else ""
        raise AssertionError(f"{method} {path} found no answer in {seconds:.0f} s, last saw {seen}\n{circumstances}")


class Town:
    """The processes of Laurel, each by its name: `gateway`, `points-2` … up to the first dash it says its service."""

    def __init__(
        self,
        place: Path,
        urls: DatabaseUrls,
        kafka: KafkaSettings,
        parts: Mapping[str, str],
        nursery: Nursery | None = None,
        **settings: object,
    ) -> None:
        """`parts`: how each process runs (`api`, `worker`, `both`). `settings` are told to all of them.

        Without a nursery each is started as `python -m services.<name>`, which takes a second or two.
        """
        self.urls = urls
        self.kafka = kafka
        self._place = place
        self._nursery = nursery
        self._around = Surroundings(
            databases=urls,
            kafka=kafka.kafka_bootstrap,
            embedded_broker=False,
            admin_key_file=place / "admin.key",
            secrets=Secrets.of(place),
        )
        self._settings: dict[str, object] = {
            "kafka_prefix": kafka.kafka_prefix,
            "kafka_partitions": kafka.kafka_partitions,
            "kafka_session_timeout_ms": kafka.kafka_session_timeout_ms,
            "relay_sweep_seconds": 0.5,
            "batch_poll_seconds": 0.05,
            **settings,
        }
        self._roles = {name: Role(name, name.partition("-")[0], mode, free_port()) for name, mode in parts.items()}
        self._children: dict[str, Child] = {}
        self._doors: dict[str, Door] = {}

    @property
    def secrets(self) -> Secrets:
        """What its services seal by."""
        return self._around.secrets

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Start everybody, and return when all are ready; nothing of it runs afterwards."""
        try:
            for name in self._roles:
                self.start(name)
            await self.ready(*self._roles)
            yield self
        finally:
            for door in self._doors.values():
                await door.close()
            stop_all(self._children.values())

    # Processes. ------------------------------------------------------------------------------------------------

    def start(self, name: str, failpoint: str = "") -> None:
        """Start one process, which dies at its failpoint if it is given one."""
        role, told = self._roles[name], self.told_to(name)
        told.pop("LAUREL_FAILPOINT", None)
        if failpoint:
            told["LAUREL_FAILPOINT"] = failpoint
        log = self._place / "logs" / f"{name}.log"
        if self._nursery is not None:
            self._children[name] = self._nursery.start(name, role.service, role.mode, log, told)
        else:
            command = [sys.executable, "-m", f"services.{role.service}", role.mode]
            self._children[name] = Child(name, command, log=log, environment=told)

    def told_to(self, name: str) -> dict[str, str]:
        """Return the environment of a process: what its service is told."""
        role = self._roles[name]
        told = environment(role, list(self._roles.values()), self._around)
        prefix = f"LAUREL_{role.service.upper()}_"
        told.update({prefix + key.upper(): str(value) for key, value in self._settings.items()})
        return told

    def kill(self, name: str) -> None:
        """End a process as by power loss."""
        self._children[name].kill()

    def pid(self, name: str) -> int:
        return self._children[name].pid

    def ask_to_stop(self, name: str) -> None:
        """Ask it to end well, as a new version does."""
        self._children[name].ask_to_stop()

    def exit_code(self, name: str) -> int | None:
        return self._children[name].exit_code

    async def ready(self, *names: str) -> None:
        """Wait until these say that they are ready."""
        async with _visitor() as http:
            for name in names:
                await until(partial(self._is_ready, http, name), f"{name} to be ready", READY_SECONDS, self.told)

    async def _is_ready(self, http: httpx.AsyncClient, name: str) -> bool:
        assert self._children[name].running, f"{name} ended by itself\n{self.told()}"
        return (await self.health(name, http)).get("status") == "ready"

    async def health(self, name: str, http: httpx.AsyncClient | None = None) -> dict[str, Any]:
        """Return what a process says of itself; nothing while nobody answers."""
        if http is None:
            async with _visitor() as own:
                return await self.health(name, own)
        try:
            found: dict[str, Any] = (await http.get(f"{self.address(name)}/health/ready")).json()
        except httpx.TransportError:
            return {}
        return found

    async def healths(self) -> list[str]:
        """Return what each process says of itself, a line each, for a message about what went wrong."""
        return [f"{name}: {await self.health(name)}" for name in self._children]

    async def metric(self, name: str, metric: str, **labels: str) -> float:
        """Return the sum of a metric's series that have these labels."""
        async with _visitor() as http:
            text = (await http.get(f"{self.address(name)}/metrics")).text
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        found = 0.0
        for line in text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == metric and all(each in series for each in wanted):
                found += float(value)
        return found

    def address(self, name: str) -> str:
        return f"http://{LOCALHOST}:{self._roles[name].port}"

    def told(self) -> str:
        """What the processes said last, for a message about what went wrong."""
        return "\n".join(
            f"--- {name}, {'running' if child.running else f'ended with {child.exit_code}'}\n{child.last_words()}"
            for name, child in self._children.items()
        )

    def door(self, name: str = "gateway", secret: str = "") -> Door:
        """Return the door of one gateway; with the admin's key unless another is given."""
        known = f"{name} {secret}"
        if known not in self._doors:
            key = secret or self._around.admin_key_file.read_text(encoding="utf-8").strip()
            self._doors[known] = Door(self._roles[name].port, key)
        return self._doors[known]

    # What must be so at the end. -------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = DEED_SECONDS) -> Any:
        return await until(condition, what, seconds, self.told)

    async def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Look into the database with the auditor's eyes."""
        connection = await asyncpg.connect(self.urls.auditor)
        try:
            return [tuple(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def value(self, query: str, *arguments: Any) -> Any:
        return (await self.rows(query, *arguments))[0][0]

    async def digests(self) -> dict[str, str]:
        """Return a digest of every table's rows, but for positions in logs, which are all that repeats may move."""
        names = await self.rows(
            "select format('%I.%I', n.nspname, c.relname) "
            "from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            "where n.nspname in ('gateway', 'points', 'redemption') and c.relkind in ('r', 'p') "
            "and not c.relispartition and not c.relname = any($1::text[])",
            list(_POSITIONS),
        )
        assert len(names) > 20
        rows = "select coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {} t"
        return {name: str(await self.value(rows.format(name))) for (name,) in names}

    async def rest(self, *, parked: int = 0) -> None:
        """Wait until every event has arrived."""
        connection = await asyncpg.connect(self.urls.auditor, server_settings={"jit": "off"})
        try:
            deadline = time.monotonic() + DEED_SECONDS
            while missing := await _not_arrived(connection, parked):
                late = time.monotonic() > deadline
                assert not late, "\n".join(["events did not arrive:", *missing, self.told()])
                await asyncio.sleep(0.05)
        finally:
            await connection.close()

    async def prove(self, *, parked: int = 0) -> None:
        """Wait until every event has arrived; then all that `laurel verify` proves must hold.

        And what others hear is what is published of it, the last of each type.
        """
        await self.rest(parked=parked)
        connection = await asyncpg.connect(self.urls.auditor, server_settings={"jit": "off"})
        try:
            found = [
                *[each async for each in points_proofs.verify(connection)],
                *[each async for each in redemption_proofs.verify(connection, at_rest=True)],
                *[each async for each in gateway_proofs.verify(connection)],
            ]
            said = await connection.fetch(_SAID, _LOOKED_AT_MAX)
        finally:
            await connection.close()
        otherwise = committed().faults(json.loads(event) for (event,) in said)
        assert not otherwise, otherwise
        kinds = (points_proofs.Finding, redemption_proofs.Finding, gateway_proofs.Finding)
        findings = [each for each in found if isinstance(each, kinds)]
        assert not findings, "\n".join(f"{each.proof}: {each.where}: {each.what}" for each in findings)


async def _not_arrived(connection: asyncpg.Connection[Any], parked: int) -> list[str]:
    # One snapshot: what is said while the services are asked one after another would be missed.
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        missing = await accounting.account(connection)
        lying = await accounting.parked(connection)
    told = [f"{each.proof}: {each.where}: {each.what}" for each in missing]
    assert all(each.passing for each in missing), told
    return told if sum(lying.values()) == parked else [*told, f"parked: {lying}"]


async def gather_bounded(deeds: Sequence[Callable[[], Awaitable[Any]]], at_once: int) -> list[Any]:
    """Do all of them, so many at once; the first failure ends it."""
    results: list[Any] = [None] * len(deeds)
    numbers = iter(range(len(deeds)))

    async def worker() -> None:
        for number in numbers:
            results[number] = await deeds[number]()

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())
    return results
