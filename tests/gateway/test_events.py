"""Streams of events: whole, in order, resumable, only what the key may hear, and never in each other's way."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from laurel.io.database import Database
from laurel.io.together import execute_together
from services.gateway.hearing import OUTSIDE, Event, NewEvent, Wish, is_pattern
from services.gateway.settings import GatewaySettings
from services.gateway.store import events
from services.gateway.store.events import EventsGoneError
from tests.gateway.listening import key_of, listening, report
from tests.gateway.news import risen
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, grocery, served, until

pytestmark = pytest.mark.anyio

ANY = "/v1/events/stream"


async def test_events_are_heard_as_they_come_and_again_from_where_one_was(
    settings: GatewaySettings, here: Instance, projecting: Instance, member: str
) -> None:
    key = here.http.headers["authorization"]
    async with served(here, settings) as port:
        async with listening(port, key, "0") as listener:
            enrolled = await listener.next()
            assert enrolled is not None
            assert (enrolled.id, enrolled.type) == ("1", "member.enrolled.v1")
            await report(here.http, "a-1", "a-2")
            first, second = await listener.heard(2)
        assert [first.activity, second.activity] == ["a-1", "a-2"]
        event = first.event
        assert (
            event.items()
            >= {
                "specversion": "1.0",
                "id": f"1.{PROGRAM}.{member}.2",
                "source": "laurel/points/1",
                "type": "points.awarded.v1",
                "subject": member,
                "sequence": "2",
                "datacontenttype": "application/json",
            }.items()
        )
        assert event["data"]["balances"][0]["available"] == 5
        await report(here.http, "a-3")
        async with listening(port, key, first.id) as again:
            assert [each.activity for each in await again.heard(2)] == ["a-2", "a-3"]
        async with listening(port, key) as fresh:
            await report(here.http, "a-4")
            assert [each.activity for each in await fresh.heard(1)] == ["a-4"]


async def test_only_what_was_asked_for_is_heard(
    settings: GatewaySettings, here: Instance, projecting: Instance, member: str
) -> None:
    await here.http.post(
        f"/v1/programs/{PROGRAM}/members", json={"member": "m-2", "enrolled_at": "2026-01-01T00:00:00Z"}
    )
    await report(here.http, "a-1")
    await report(here.http, "a-2", member="m-2")
    key = here.http.headers["authorization"]
    async with served(here, settings) as port:
        async with listening(port, key, "0", types="points.*", member="m-2") as listener:
            assert [each.activity for each in await listener.heard(1)] == ["a-2"]
        async with listening(port, key, "0", types="member.enrolled,tier.changed.v1") as listener:
            assert {each.event["subject"] for each in await listener.heard(2)} == {member, "m-2"}


async def test_a_partner_hears_what_it_reported_and_how_members_stand(
    settings: GatewaySettings, here: Instance, projecting: Instance, member: str
) -> None:
    acme = await key_of(here.http, "acme", "read", "earn")
    await report(here.http, "a-1")
    async with httpx.AsyncClient(transport=here.http._transport, base_url="http://testserver") as till:
        till.headers["authorization"] = acme
        await report(till, "a-2")
    async with served(here, settings) as port, listening(port, acme, "0") as listener:
        assert [each.type for each in await listener.heard(2)] == ["member.enrolled.v1", "points.awarded.v1"]
        await report(here.http, "a-3")
        async with httpx.AsyncClient(transport=here.http._transport, base_url="http://testserver") as till:
            till.headers["authorization"] = acme
            await report(till, "a-4")
        assert [each.activity for each in await listener.heard(1)] == ["a-4"]


async def test_a_partner_does_not_hear_whose_request_moved_a_member(
    settings: GatewaySettings, here: Instance, database: Database
) -> None:
    """That a member shops at a rival, and under which number, is the rival's; a refusal is the caller's own."""
    keys = {name: await key_of(here.http, name, "read") for name in ("acme", "rival")}
    keys["admin"] = here.http.headers["authorization"]
    rose, refused = risen("rival", "rival-7"), risen("rival", "rival-8", "tier.match_refused.v1")
    timed = risen(None, "timer")
    async with database.transaction() as connection:
        await execute_together(connection, events.appending([rose, refused, timed], datetime.now(UTC)))
    heard = {}
    async with served(here, settings) as port:
        for name, key in keys.items():
            async with listening(port, key, "0") as listener:
                heard[name] = [each.event for each in await listener.heard(2 if name == "acme" else 3)]
    assert heard["rival"] == heard["admin"] == [json.loads(each.event) for each in (rose, refused, timed)]
    assert heard["acme"][1] == json.loads(timed.event)
    assert "rival" not in json.dumps(heard["acme"])
    whole = json.loads(rose.event)
    assert heard["acme"][0] == {
        **{name: whole[name] for name in ("id", "source", "subject", "sequence")},
        "data": {**whole["data"], "cause": {"kind": "undisclosed", "id": "undisclosed"}},
    }


async def test_the_head_of_a_stream_ends(settings: GatewaySettings, here: Instance, member: str) -> None:
    """Who asks whether one may listen is told so, and nobody goes on telling."""
    key = here.http.headers["authorization"]
    async with served(here, settings) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        for path, status in ((ANY, 200), (f"/v1/programs/{PROGRAM}/members/{member}", 200), ("/v1/nothing", 404)):
            told = await http.head(path, headers={"authorization": key})
            assert (told.status_code, told.content) == (status, b"")
        assert here.api is not None
        feed = here.api.feed
        await until(lambda: feed.has_room(1))
        assert (await http.head(ANY)).status_code == 401


async def test_another_program_is_not_there(here: Instance) -> None:
    stranger = {"authorization": await key_of(here.http, "acme", "read")}
    earner = {"authorization": await key_of(here.http, "acme", "earn")}
    hidden = await here.http.get(ANY, params={"program": "other"}, headers=stranger)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "program_unknown")
    missing = await here.http.get(ANY, headers=earner)
    assert (missing.status_code, missing.json()["code"]) == (403, "scope_missing")


@pytest.mark.parametrize("types", ["", "points", "points.nothing", "nothing.*", "points.*.v1", "*.awarded", "hold.*"])
async def test_types_that_there_are_not_are_refused(here: Instance, types: str) -> None:
    answer = await here.http.get(ANY, params={"types": types})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/types")


async def test_what_is_no_longer_kept_is_gone(
    here: Instance, projecting: Instance, member: str, database: Database
) -> None:
    await report(here.http, "a-1", "a-2")
    await until(lambda: _head_is(database, 3))
    assert await events.drop(database, datetime.now(UTC) + timedelta(days=1), 2) == 2
    for last_id in ("0", "1"):
        gone = await here.http.get(ANY, headers={"last-event-id": last_id})
        assert (gone.status_code, gone.json()["code"]) == (410, "events_gone")
    ahead = await here.http.get(ANY, headers={"last-event-id": "4"})
    assert ahead.status_code == 410
    wrong = await here.http.get(ANY, headers={"last-event-id": "x"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/header/Last-Event-ID")
    async with database.connection() as connection:
        assert [each.position for each in await events.page(connection, 2, 10)] == [3]
        with pytest.raises(EventsGoneError):
            await events.page(connection, 1, 10)
    assert await events.drop(database, datetime.now(UTC) + timedelta(days=1), 2) == 1
    still = await here.http.get(ANY, headers={"last-event-id": "2"})
    assert still.status_code == 410


async def _head_is(database: Database, position: int) -> bool:
    async with database.connection() as connection:
        return await events.head(connection) == position


async def test_old_events_are_dropped_while_new_ones_come(
    settings: GatewaySettings, here: Instance, member: str, database: Database
) -> None:
    short = settings.model_copy(update={"events_retention_hours": 0.0, "events_prune_seconds": 0.05})

    async def kept() -> int:
        async with database.connection() as connection:
            return int(await connection.fetchval("select count(*) from events"))

    async with gateway(short, "worker"):
        await report(here.http, "a-1")
        await until(lambda: _head_is(database, 2))
        await until(lambda: _is_nothing(kept()))


async def _is_nothing(count: Awaitable[int]) -> bool:
    return await count == 0


async def test_two_workers_make_one_order_without_a_gap(database: Database) -> None:
    """Whoever commits first comes first: a reader never sees a position before one that comes in front of it."""
    at = datetime.now(UTC)

    async def write(worker: int) -> None:
        for turn in range(30):
            async with database.transaction() as connection:
                batch = [_event(f"{worker}", f"{turn}-{number}") for number in range(3)]
                await execute_together(connection, events.appending(batch, at))
                await asyncio.sleep(0.001)

    seen: list[Event] = []
    writing = [asyncio.create_task(write(number)) for number in range(4)]
    while len(seen) < 360:
        async with database.connection() as connection:
            seen += await events.page(connection, seen[-1].position if seen else 0, 100)
        await asyncio.sleep(0)
    await asyncio.gather(*writing)
    assert [each.position for each in seen] == list(range(1, 361))
    for worker in range(4):
        told = [each.event.decode() for each in seen if each.member == str(worker)]
        assert told == [f"{turn}-{number}" for turn in range(30) for number in range(3)]


def _event(member: str, event: str) -> NewEvent:
    return NewEvent(PROGRAM, member, "points.awarded.v1", None, "laurel/points/1", 1, event.encode())


async def test_an_event_that_comes_while_the_first_is_looked_for_is_kept(database: Database) -> None:
    """Who listens from the beginning would be told that it is gone, and its deliveries would be dropped."""

    async def look() -> int:
        async with database.connection() as connection:
            return await events.first(connection)

    async def is_held_up() -> bool:
        query = "select exists (select from pg_locks where not granted and relation = 'gateway.event_head'::regclass)"
        async with database.connection() as connection:
            return bool(await connection.fetchval(query))

    async with database.transaction() as connection:
        await connection.execute("lock table event_head in access exclusive mode")
        looking = asyncio.create_task(look())
        await until(is_held_up)
        await execute_together(connection, events.appending([_event("m-1", "comes")], datetime.now(UTC)))
    assert await looking == 1


async def test_listeners_of_two_instances_miss_nothing_while_they_come_and_go(
    settings: GatewaySettings, here: Instance, projecting: Instance, member: str
) -> None:
    """Each stream ends again and again, and is resumed at the other instance, while purchases are reported."""
    short = settings.model_copy(update={"stream_seconds_max": 0.15, "events_poll_seconds": 0.01})
    names = [f"a-{number}" for number in range(120)]
    key = here.http.headers["authorization"]
    async with gateway(short, "api") as one, gateway(short, "api") as two:  # noqa: SIM117 - two of each
        async with served(one, short) as first, served(two, short) as second:

            async def follow(offset: int) -> list[str]:
                heard: list[str] = []
                last, turn = "0", offset
                while len(heard) < len(names):
                    async with listening((first, second)[turn % 2], key, last, types="points.*") as listener:
                        heard += [each.activity for each in await listener.rest()]
                        last = listener.last_id or last
                    turn += 1
                assert turn > offset + 2
                return heard

            following = [asyncio.create_task(follow(offset)) for offset in range(4)]
            await report(here.http, *names)
            for heard in await asyncio.gather(*following):
                assert heard == names


async def test_attributes_that_a_program_does_not_declare_are_not_told(
    settings: GatewaySettings, here: Instance, projecting: Instance, member: str, others: Others
) -> None:
    program = "declaring"
    document = grocery(program=program)
    document["attributes"]["member"] = {"card": "text"}
    assert (await here.http.put(f"/v1/programs/{program}", json=document)).status_code == 201
    given = {"card": "gold", "name": "Jane Doe"}
    key = here.http.headers["authorization"]
    async with (
        gateway(settings, "api") as one,
        served(one, settings) as port,
        listening(port, key, types="member.*", program=program) as listener,
    ):
        path = f"/v1/programs/{program}/members"
        assert (await here.http.post(path, json={"member": "m-7", "attributes": given})).status_code == 201
        asked = next(each for each in reversed(others.heard) if each.program == program)
        changed = {"change": "c-1", "person": "p-1", "attributes": {**given, "phone": 5550100}, "version": 2}
        await others.say("points", "member.changed.v1", asked, changed)
        told = await listener.heard(2)
    assert [each.type for each in told] == ["member.enrolled.v1", "member.changed.v1"]
    assert [each.event["data"]["attributes"] for each in told] == [{"card": "gold"}] * 2
    assert told[1].event["data"]["person"] == "p-1"
    # Whoever may read the member sees all that was said of it.
    shown = (await here.http.get(f"/v1/programs/{program}/members/m-7")).json()
    assert shown["attributes"] == {**given, "phone": 5550100}


async def test_heartbeats_move_the_position_past_what_is_not_wanted(
    settings: GatewaySettings, here: Instance, projecting: Instance, member: str
) -> None:
    quick = settings.model_copy(update={"stream_heartbeat_seconds": 0.1, "stream_seconds_max": 1.0})

    async def is_second() -> bool:
        async with here.parts.database.connection() as connection:
            return await events.head(connection) == 2

    async with gateway(quick, "api") as one, served(one, quick) as port:
        # An answer does not wait for its event, and the stream ends before long.
        await report(here.http, "a-1")
        await until(is_second)
        async with listening(port, here.http.headers["authorization"], "0", types="tier.*") as listener:
            assert await listener.rest() == []
        assert (listener.last_id, listener.heartbeats > 0) == ("2", True)


async def test_a_revoked_key_hears_no_more(
    settings: GatewaySettings, here: Instance, projecting: Instance, member: str
) -> None:
    quick = settings.model_copy(update={"stream_heartbeat_seconds": 0.1})
    await here.http.put("/v1/partners/acme", json={})
    made = await here.http.post("/v1/partners/acme/keys", json={"scopes": ["read"], "programs": [PROGRAM]})
    secret, name = f"Bearer {made.json()['secret']}", made.json()["key"]
    async with gateway(quick, "api") as one, served(one, quick) as port, listening(port, secret, "0") as listener:
        # Told now and not between the revocation and the next heartbeat.
        assert [each.type for each in await listener.heard(1)] == ["member.enrolled.v1"]
        await here.http.delete(f"/v1/partners/acme/keys/{name}")
        assert await listener.rest() == []


@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_a_key_that_ended_hears_nothing_between_heartbeats(
    settings: GatewaySettings, here: Instance, projecting: Instance, member: str, how: str
) -> None:
    """The next heartbeat is a quarter of a minute away; what happens meanwhile is not told."""
    ends = datetime.now(UTC) + timedelta(seconds=8)
    expiry = {"expires_at": ends.isoformat()} if how == "expired" else {}
    await here.http.put("/v1/partners/acme", json={})
    body = {"scopes": ["read", "admin"], "programs": [PROGRAM], **expiry}
    made = (await here.http.post("/v1/partners/acme/keys", json=body)).json()
    secret = f"Bearer {made['secret']}"
    async with (
        gateway(settings, "api") as one,
        served(one, settings) as port,
        listening(port, secret, types="points.*") as listener,
    ):
        await report(here.http, "a-1")
        assert [each.activity for each in await listener.heard(1)] == ["a-1"]
        if how == "revoked":
            await here.http.delete(f"/v1/partners/acme/keys/{made['key']}")
            await asyncio.sleep(settings.key_cache_seconds + 0.05)
        else:
            await asyncio.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.05)
        await report(here.http, "a-2")
        assert await listener.rest() == []


async def test_who_takes_nothing_is_cut_off_and_others_hear_on(
    settings: GatewaySettings, here: Instance, projecting: Instance, member: str, database: Database
) -> None:
    hasty = settings.model_copy(update={"stream_send_seconds": 0.3})
    key = here.http.headers["authorization"]
    big = json.dumps({"data": "x" * 200_000}).encode()
    async with gateway(hasty, "api") as one, served(one, hasty) as port:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", port))
            deaf.sendall(f"GET {ANY} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode())
            assert one.api is not None
            feed = one.api.feed
            await until(lambda: feed._listeners == 1)
            async with listening(port, key, types="points.*") as listener:
                for _ in range(6):
                    async with database.transaction() as connection:
                        batch = [NewEvent(PROGRAM, "m-9", "tier.kept.v1", None, "s", 1, big)] * 10
                        await execute_together(connection, events.appending(batch, datetime.now(UTC)))
                await report(here.http, "a-1")
                assert [each.activity for each in await listener.heard(1)] == ["a-1"]
                await until(lambda: feed._listeners == 1)
            assert feed._bytes < 9_000_000


async def test_streams_end_when_the_process_stops(settings: GatewaySettings, here: Instance, member: str) -> None:
    async with gateway(settings, "api") as one, served(one, settings) as port:
        async with listening(port, here.http.headers["authorization"]) as listener:
            await one.stop("streams")
            assert await listener.rest() == []
        closed = await one.http.get(ANY)
        assert (closed.status_code, closed.headers["retry-after"]) == (503, "5")


async def test_an_event_that_is_no_json_waits_for_a_person(
    here: Instance, projecting: Instance, others: Others, member: str, database: Database
) -> None:
    """Nobody in the gateway reads this type, and it is handed on all the same."""
    asked = others.heard[0]
    await others.say("redemption", "voucher.issued.v1", asked, {}, raw=b'{"voucher": ')
    await others.say("redemption", "voucher.expired.v1", asked, {})

    async def parked() -> list[str]:
        async with database.connection() as connection:
            return [row[0] for row in await connection.fetch("select reason from parked order by sequence")]

    assert await until(parked) == ["undecodable"] or await until(parked) == ["undecodable", "behind"]


def test_what_one_service_asks_of_another_is_not_for_others() -> None:
    assert {"hold.requested.v1", "hold.capture_requested.v1", "hold.release_requested.v1"}.isdisjoint(OUTSIDE)
    assert {"points.awarded.v1", "voucher.issued.v1", "member.merged.v1", "tier.match_refused.v1"} <= OUTSIDE


@pytest.mark.parametrize(
    ("pattern", "heard"),
    [("*", True), ("points.*", True), ("points.awarded", True), ("points.awarded.v1", True), ("points.held", False)],
)
def test_patterns(pattern: str, heard: bool) -> None:
    assert is_pattern(pattern)
    wish = Wish([pattern], frozenset({"*"}), None)
    assert wish.hears(Event(1, PROGRAM, "m", "points.awarded.v1", None, b"")) is heard
