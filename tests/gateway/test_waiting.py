"""Waiting over events: several instances, lost tails, repeated and late events, messages that are parked."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import httpx
import pytest

from laurel.io import parking
from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, purchase, until

pytestmark = pytest.mark.anyio

ACTIVITIES = f"/v1/programs/{PROGRAM}/activities"
WAIT = {"prefer": "wait=20"}


async def test_a_waiting_request_is_answered_by_its_instance_and_read_at_the_other(
    settings: GatewaySettings, here: Instance, member: str, projecting: Instance
) -> None:
    async with gateway(settings, "api") as there:
        for number in range(25):
            one, other = (here, there) if number % 2 else (there, here)
            answer = await one.http.post(ACTIVITIES, json=purchase(f"t-{number}", amount=100), headers=WAIT)
            assert answer.status_code == 201
            shown = await other.http.get(f"{ACTIVITIES}/t-{number}")
            assert shown.json() == answer.json()
            balances = (await other.http.get(f"/v1/programs/{PROGRAM}/members/{member}")).json()["balances"]
            assert balances[0]["available"] >= number + 1


async def test_the_same_id_at_two_instances_at_once_is_one_activity(
    settings: GatewaySettings, here: Instance, member: str, others: Others
) -> None:
    async with gateway(settings, "api") as there:
        answers = await asyncio.gather(
            *(each.http.post(ACTIVITIES, json=purchase("t-1"), headers=WAIT) for each in (here, there) * 5)
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert len([message for message in others.heard if message.type == "activity.reported.v1"]) == 1


async def test_when_the_tail_is_lost_the_projector_answers(here: Instance, member: str, projecting: Instance) -> None:
    await here.stop("tail")
    answer = await here.http.post(ACTIVITIES, json=purchase("t-1"), headers={"prefer": "wait=2"})
    assert answer.status_code == 201, "the row is read once more before a 202"
    assert (await here.http.get(f"{ACTIVITIES}/t-1")).json() == answer.json()


async def test_an_event_that_comes_twice_or_late_changes_nothing(
    here: Instance, member: str, projecting: Instance, others: Others, database: Database
) -> None:
    first = await here.http.post(ACTIVITIES, json=purchase("t-1", amount=100), headers=WAIT)
    message = others.heard[-1]
    forged = {**others.awarded(message, json.loads(message.body)), "balances": []}
    await others.say("points", "points.awarded.v1", message, forged, repeat=True)
    second = await here.http.post(ACTIVITIES, json=purchase("t-2", amount=100), headers=WAIT)
    assert second.status_code == 201

    async def caught_up() -> bool:
        async with database.connection() as connection:
            return bool(await connection.fetchval("select max(number) = 3 from inbox where member = 'm-1'"))

    await until(caught_up)
    assert (await here.http.get(f"{ACTIVITIES}/t-1")).json() == first.json()
    shown = (await here.http.get(f"/v1/programs/{PROGRAM}/members/{member}")).json()
    assert shown["balances"] == second.json()["balances"]


async def test_what_the_answering_instance_wrote_is_not_overwritten_by_older_events(
    here: Instance, member: str, others: Others, settings: GatewaySettings
) -> None:
    """The projector starts only now, and hears everything from the first event."""
    for number in range(5):
        await here.http.post(ACTIVITIES, json=purchase(f"t-{number}", amount=100), headers=WAIT)
    path = f"/v1/programs/{PROGRAM}/members/{member}"
    before = (await here.http.get(path)).json()
    seen = []
    async with gateway(settings, "worker") as worker:
        await until(lambda: worker.health.is_ready)
        for _ in range(20):
            seen.append((await here.http.get(path)).json())
            await asyncio.sleep(0.02)
    assert all(each == before for each in seen)


async def test_an_event_that_cannot_be_read_parks_and_others_flow_on(
    here: Instance, member: str, projecting: Instance, others: Others, database: Database
) -> None:
    enrolled = await here.http.post(f"/v1/programs/{PROGRAM}/members", json={"member": "m-2"}, headers=WAIT)
    assert enrolled.status_code == 201
    await others.say("points", "points.awarded.v1", others.heard[0], {}, raw=b'{"activity": 7}')
    answer = await here.http.post(ACTIVITIES, json=purchase("t-1", "m-2"), headers=WAIT)
    assert answer.status_code == 201

    async def parked() -> bool:
        async with database.connection() as connection:
            found = await connection.fetch("select member, reason from parked")
        return [tuple(row) for row in found] == [("m-1", "undecodable")]

    await until(parked)


async def test_an_outcome_that_the_gateway_parks_delays_its_request_until_it_is_repaired(
    here: Instance, member: str, projecting: Instance, others: Others, database: Database, database_urls: DatabaseUrls
) -> None:
    others.silent = True
    file = b"".join(json.dumps(purchase(id_)).encode() + b"\n" for id_ in ("t-1", "t-2"))
    ndjson = {"content-type": "application/x-ndjson"}
    sent = await here.http.post(f"/v1/programs/{PROGRAM}/batches", content=file, headers=ndjson)
    owner = await asyncpg.connect(database_urls.owner)
    rule = "check (id <> 't-1' or outcome is null) not valid"
    await owner.execute(f"alter table gateway.requests add constraint refusing {rule}")
    await until(lambda: len(others.heard) == 3)
    await others.resume()

    async def delayed() -> bool:
        shown = [(await here.http.get(f"{ACTIVITIES}/{id_}")).json() for id_ in ("t-1", "t-2")]
        return all(each == {"id": each["id"], "state": "pending", "delayed": True} for each in shown)

    await until(delayed)
    async with database.connection() as connection:
        ((reason, *place),) = [
            (row["reason"], row["program"], row["member"], row["source"], row["sequence"])
            for row in await connection.fetch("select * from parked where reason <> 'behind'")
        ]
    assert reason == "refused_by_database"
    refused = (*place[:3], place[3])
    with pytest.raises(parking.MustBeRepaired, match="retry"):
        async with here.parts.unit.begin() as work:
            await parking.discard(work, refused, actor="tester", note="away with it")
    await owner.execute("alter table gateway.requests drop constraint refusing")
    await owner.close()
    async with here.parts.unit.begin() as work:
        await parking.retry(work, refused, actor="tester", note="mended")

    async def done() -> bool:
        shown = (await here.http.get(sent.headers["location"])).json()
        return bool((shown["state"], shown["posted"], shown["delayed"]) == ("done", 2, 0))

    await until(done)


async def test_a_parked_request_is_shown_as_delayed_and_a_discarded_one_as_refused(
    here: Instance, member: str, projecting: Instance, others: Others
) -> None:
    others.silent = True
    answer = await here.http.post(ACTIVITIES, json=purchase("t-1"), headers={"prefer": "respond-async"})
    location = answer.headers["location"]
    await until(lambda: len(others.heard) == 2)
    told = {"source": "laurel/gateway/1", "sequence": 2, "type": "activity.reported.v1", "reason": "poison"}
    await others.say("points", "message.parked.v1", others.heard[-1], told)

    async def shown(wanted: dict[str, object]) -> bool:
        found = (await here.http.get(location)).json()
        return bool(wanted.items() <= found.items())

    await until(lambda: shown({"state": "pending", "delayed": True}))
    await others.say("points", "message.discarded.v1", others.heard[-1], {**told, "reason": "discarded"})
    await until(lambda: shown({"state": "refused", "code": "discarded"}))
    again = await here.http.post(ACTIVITIES, json=purchase("t-1"))
    assert (again.status_code, again.json()["code"]) == (409, "discarded")


async def test_a_discarded_enrolment_leaves_id_and_identifier_free(
    here: Instance, projecting: Instance, others: Others
) -> None:
    others.silent = True
    path = f"/v1/programs/{PROGRAM}/members"
    body = {"member": "m-9", "identifiers": [{"scheme": "card", "value": "999"}]}
    answer = await here.http.post(path, json=body, headers={"prefer": "respond-async"})
    assert (answer.status_code, answer.headers["location"]) == (202, f"{path}/m-9")
    assert (await here.http.get(f"{path}/m-9")).json() == {"member": "m-9", "program": PROGRAM, "state": "pending"}
    await until(lambda: others.heard)
    told = {"source": "laurel/gateway/1", "sequence": 1, "reason": "discarded"}
    await others.say("points", "message.discarded.v1", others.heard[-1], told)

    async def gone() -> bool:
        return (await here.http.get(f"{path}/m-9")).status_code == 404

    await until(gone)


async def test_an_event_for_somebody_elses_request_wakes_nobody(here: Instance, member: str) -> None:
    assert here.api is not None
    assert not httpx.codes.is_success((await here.http.get(f"{ACTIVITIES}/t-1")).status_code)
