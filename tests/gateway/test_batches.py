"""Files of activities: a bad line never stops the others, and the same file twice changes nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from laurel.io.database import Database
from services.gateway.settings import GatewaySettings
from tests.gateway.files import BATCHES, NDJSON, PACKED, counts, finished, ndjson, rows
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, purchase, served, until

pytestmark = pytest.mark.anyio


async def test_every_line_has_its_outcome(
    http: httpx.AsyncClient, member: str, projecting: Instance, others: Others
) -> None:
    whole = [purchase(f"t-{n}", amount=100 * (n % 3)) for n in range(1200)]
    answer = await http.post(BATCHES, content=gzip.compress(ndjson(whole)), headers=PACKED)
    assert answer.status_code == 202, answer.text
    location = answer.headers["location"]
    batch = await finished(http, location)
    assert batch["state"] == "done"
    assert counts(batch) == {"received": 1200, "posted": 1200}
    assert batch["awarded"] == [{"unit": "point", "amount": 1200}]
    # After `done` every read shows the effect.
    shown = (await http.get(f"/v1/programs/{PROGRAM}/members/{member}")).json()
    assert shown["balances"][0]["available"] == 1200
    assert (await http.get(f"/v1/programs/{PROGRAM}/activities/t-1199")).json()["state"] == "posted"
    asked = [json.loads(m.body)["activity"]["id"] for m in others.heard if m.type == "activity.reported.v1"]
    assert asked == [each["id"] for each in whole], "lines of one member go in file order"
    lines = await rows(http, f"{location}/lines")
    assert [each["line"] for each in lines] == list(range(1, 1201))
    assert lines[1] == {"line": 2, "id": "t-1", "state": "posted", "awards": lines[1]["awards"]}
    assert lines[1]["awards"][0]["amount"] == 1
    assert await rows(http, f"{location}/errors") == []


async def test_bad_lines_are_named_and_the_others_are_posted(
    http: httpx.AsyncClient, member: str, projecting: Instance
) -> None:
    await http.put("/v1/partners/acme", json={})
    file = ndjson(
        [
            purchase("t-1"),
            b"{broken",
            {**purchase("t-2"), "surprise": 1, "amount": "7"},
            b"",
            purchase("t-3", "nobody"),
            purchase("t-4", {"scheme": "card", "value": "6340001"}),
            purchase("t-5", {"scheme": "card", "value": "none"}),
            purchase("t-6", occurred_at="2099-01-01T00:00:00Z"),
            purchase("t-7", partner="stranger"),
            purchase("t-8", partner="acme"),
            purchase("t-1"),
            purchase("t-1", amount=501),
            purchase("t-9", None),
            {"id": "t-10", "type": "return", "of": "t-1", "occurred_at": "2026-03-15T00:00:00Z"},
            {"id": "t-11", "type": "return", "of": "t-none", "occurred_at": "2026-03-15T00:00:00Z"},
            b"\xff\xfe",
            b'"text"',
            b'{"id": "' + b"x" * 1_200_000 + b'"}',
        ]
    )
    answer = await http.post(BATCHES, content=file, headers=NDJSON)
    assert answer.status_code == 202
    location = answer.headers["location"]
    batch = await finished(http, location)
    assert counts(batch) == {"received": 17, "posted": 5, "rejected": 11, "duplicate": 1}
    errors = {each["line"]: each for each in await rows(http, f"{location}/errors")}
    assert {line: (each["id"], each["status"], each["code"]) for line, each in errors.items()} == {
        2: (None, 400, "malformed"),
        3: ("t-2", 422, "invalid"),
        5: ("t-3", 404, "member_unknown"),
        7: ("t-5", 404, "member_unknown"),
        8: ("t-6", 422, "in_the_future"),
        9: ("t-7", 404, "partner_unknown"),
        12: ("t-1", 422, "idempotency_mismatch"),
        15: ("t-11", 404, "activity_unknown"),
        16: (None, 400, "malformed"),
        17: (None, 422, "invalid"),
        18: (None, 413, "too_large"),
    }
    assert {fault["pointer"] for fault in errors[3]["errors"]} == {"/surprise", "/amount"}
    lines = {each["line"]: each for each in await rows(http, f"{location}/lines")}
    assert set(lines) == set(range(1, 19)) - {4}, "an empty line is no line"
    assert [line for line, each in lines.items() if each["state"] == "rejected"] == sorted(errors)
    assert lines[11]["duplicate"]
    assert lines[13]["awards"] == []
    base = f"/v1/programs/{PROGRAM}/activities"
    assert (await http.get(f"{base}/t-8?partner=acme")).json()["state"] == "posted"
    assert (await http.get(f"{base}/t-3")).status_code == 404, "a rejected line leaves its id free"


async def test_the_same_file_twice_changes_nothing(
    http: httpx.AsyncClient, member: str, projecting: Instance, others: Others
) -> None:
    file = ndjson(purchase(f"t-{n}", amount=100) for n in range(300))
    others.silent = True
    # The second copy arrives while no outcome of the first is known, and is not done before they are.
    answers = [await http.post(BATCHES, content=file, headers=NDJSON) for _ in range(2)]
    await until(lambda: len([m for m in others.heard if m.type == "activity.reported.v1"]) == 300)
    await asyncio.sleep(0.3)
    second = (await http.get(answers[1].headers["location"])).json()
    assert (second["state"], second["pending"]) == ("running", 300)
    await others.resume()
    first, second = [await finished(http, answer.headers["location"]) for answer in answers]
    assert counts(first) == {"received": 300, "posted": 300}
    assert counts(second) == {"received": 300, "duplicate": 300}
    assert second["awarded"] == []
    third = await http.post(BATCHES, content=file, headers=NDJSON)
    done = await finished(http, third.headers["location"])
    assert counts(done) == {"received": 300, "duplicate": 300}
    lines = await rows(http, f"{third.headers['location']}/lines")
    assert all(each["state"] == "posted" and each["duplicate"] for each in lines), "their outcomes are shown"
    shown = (await http.get(f"/v1/programs/{PROGRAM}/members/{member}")).json()
    assert shown["balances"][0]["available"] == 300
    assert len([m for m in others.heard if m.type == "activity.reported.v1"]) == 300


async def test_refused_lines_are_counted_and_explained(
    http: httpx.AsyncClient, member: str, projecting: Instance, others: Others
) -> None:
    codes = {"t-1": "claim_too_late", "t-2": "currency_not_accepted"}

    def answer(message: Any) -> Any:
        id_ = json.loads(message.body)["activity"]["id"]
        return others.refused(message, codes[id_]) if id_ in codes else others.as_usual(message)

    others.answer = answer
    sent = await http.post(BATCHES, content=ndjson(purchase(f"t-{n}") for n in range(4)), headers=NDJSON)
    location = sent.headers["location"]
    assert counts(await finished(http, location)) == {"received": 4, "posted": 2, "refused": 2}
    errors = await rows(http, f"{location}/errors")
    assert [(each["line"], each["id"], each["status"], each["code"]) for each in errors] == [
        (2, "t-1", 409, "claim_too_late"),
        (3, "t-2", 409, "currency_not_accepted"),
    ]
    states = [each["state"] for each in await rows(http, f"{location}/lines")]
    assert states == ["posted", "refused", "refused", "posted"]
    # One id was left free: asked again, it is judged again, and the old batch still tells what it saw.
    others.answer = others.as_usual
    again = await http.post(f"/v1/programs/{PROGRAM}/activities", json=purchase("t-2"))
    assert again.status_code == 201
    assert counts((await http.get(location)).json()) == {"received": 4, "posted": 2, "refused": 2}


@pytest.mark.parametrize("change", [{"awards": 7}, {"balances": [{"unit": "point", "available": "many"}]}])
async def test_an_outcome_of_a_line_that_cannot_be_read_parks_alone(
    http: httpx.AsyncClient,
    member: str,
    projecting: Instance,
    others: Others,
    database: Database,
    change: dict[str, Any],
) -> None:
    await http.post(f"/v1/programs/{PROGRAM}/members", json={"member": "m-2"}, headers={"prefer": "wait=20"})

    def answer(message: Any) -> Any:
        ((speaker, type_, fields),) = others.as_usual(message)
        return [(speaker, type_, {**fields, **change} if b"t-bad" in message.body else fields)]

    others.answer = answer
    lines = [purchase("t-1"), purchase("t-bad"), *(purchase(f"t-{n}", "m-2", amount=100) for n in range(2, 50))]
    sent = await http.post(BATCHES, content=ndjson(lines), headers=NDJSON)

    async def shown() -> bool:
        found = counts((await http.get(sent.headers["location"])).json())
        return found == {"received": 50, "posted": 49, "pending": 1, "delayed": 1}

    await until(shown)
    async with database.connection() as connection:
        found = await connection.fetch("select member, type, reason from parked")
    assert [tuple(row) for row in found] == [("m-1", "points.awarded.v1", "undecodable")]


async def test_a_packed_file_that_ends_too_soon_is_cut_off(
    http: httpx.AsyncClient, member: str, projecting: Instance
) -> None:
    lines = [purchase(f"t-{n}", note=None) for n in range(2000)]
    packed = gzip.compress(ndjson(lines))
    answer = await http.post(BATCHES, content=packed[: len(packed) // 2], headers=PACKED)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert answer.headers["content-type"] == "application/problem+json"
    location = answer.headers["location"]
    batch = await finished(http, location)
    assert batch["state"] == "cut_off"
    assert 0 < batch["received"] < 2000
    assert counts(batch) == {"received": batch["received"], "posted": batch["received"]}
    assert answer.json()["batch"] == batch["batch"]
    whole = await http.post(BATCHES, content=gzip.compress(ndjson(lines)), headers=PACKED)
    rest = await finished(http, whole.headers["location"])
    assert counts(rest) == {
        "received": 2000,
        "posted": 2000 - batch["received"],
        "duplicate": batch["received"],
    }


async def test_a_connection_that_is_lost_leaves_the_whole_lines(
    settings: GatewaySettings, here: Instance, member: str, projecting: Instance, database: Database
) -> None:
    body = ndjson([purchase("t-1"), purchase("t-2")]) + json.dumps(purchase("t-3")).encode()[:-9]
    head = [
        f"POST {BATCHES} HTTP/1.1",
        "host: test",
        f"authorization: {here.http.headers['authorization']}",
        "content-type: application/x-ndjson",
        f"content-length: {len(body) + 9}",
    ]

    async def batch(state: str) -> tuple[Any, ...] | None:
        async with database.connection() as connection:
            row = await connection.fetchrow(
                "select state, received, posted from batches join batch_outcomes using (program, batch)"
            )
        return tuple(row) if row is not None and row["state"] == state else None

    async with served(here, settings) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()
        await until(lambda: batch("receiving"))
        writer.close()
        assert await until(lambda: batch("cut_off")) == ("cut_off", 2, 2)


async def test_what_is_no_file_is_told(http: httpx.AsyncClient) -> None:
    cases: list[tuple[dict[str, str], bytes, int, str]] = [
        ({"content-type": "text/plain"}, b"", 415, "unsupported"),
        ({"content-type": "application/json"}, b"{}", 415, "unsupported"),
        ({**NDJSON, "content-encoding": "br"}, b"", 415, "unsupported"),
        (PACKED, b"this was never packed", 400, "malformed"),
    ]
    for headers, body, status, code in cases:
        answer = await http.post(BATCHES, content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (headers, body)


async def test_an_empty_file_is_done(http: httpx.AsyncClient, projecting: Instance) -> None:
    answer = await http.post(BATCHES, content=b"", headers=NDJSON)
    assert answer.status_code == 202
    assert counts(await finished(http, answer.headers["location"])) == {}


async def test_no_more_lines_are_under_way_than_may_be(
    settings: GatewaySettings, http: httpx.AsyncClient, member: str, others: Others, database: Database
) -> None:
    others.silent = True
    async with gateway(settings.model_copy(update={"batch_in_flight_max": 50}), "worker"):
        for start in (0, 100):
            await http.post(BATCHES, content=ndjson(purchase(f"t-{start + n}") for n in range(100)), headers=NDJSON)
        await until(lambda: len(others.heard) >= 51)
        await asyncio.sleep(0.5)
        assert len([m for m in others.heard if m.type == "activity.reported.v1"]) == 50
        # The till does not wait behind them.
        others.silent = False
        till = await http.post(f"/v1/programs/{PROGRAM}/activities", json=purchase("till"))
        assert till.status_code == 201
        await others.resume()

        async def all_posted() -> bool:
            async with database.connection() as connection:
                return bool(await connection.fetchval("select sum(posted) = 200 from batch_outcomes"))

        await until(all_posted)


async def test_lines_that_wait_for_something_parked_leave_room_for_others(
    settings: GatewaySettings, http: httpx.AsyncClient, member: str, others: Others, database: Database
) -> None:
    others.silent = True
    await http.post(f"/v1/programs/{PROGRAM}/members", json={"member": "m-2"}, headers={"prefer": "respond-async"})

    def asked(member: str) -> list[Any]:
        return [m for m in others.heard if m.type == "activity.reported.v1" and m.member == member]

    async with gateway(settings.model_copy(update={"batch_in_flight_max": 5}), "worker"):
        first = await http.post(BATCHES, content=ndjson(purchase(f"t-{n}") for n in range(8)), headers=NDJSON)
        await until(lambda: len(asked("m-1")) == 5)
        file = ndjson(purchase(f"u-{n}", "m-2") for n in range(8))
        second = await http.post(BATCHES, content=file, headers=NDJSON)
        parked: set[str] = set()

        async def parks_all() -> bool:
            """Everything of the first member is parked, as it comes; the other's is answered."""
            for message in asked("m-1"):
                if message.id not in parked:
                    parked.add(message.id)
                    told = {"source": message.source, "sequence": message.sequence, "reason": "poison"}
                    await others.say("points", "message.parked.v1", message, {**told, "type": message.type})
            for message in list(others._held):
                if message.member == "m-2":
                    others._held.remove(message)
                    await others._answer(message)
            return bool((await http.get(second.headers["location"])).json()["state"] == "done")

        await until(parks_all)
        assert len(asked("m-2")) == 8
        await until(lambda: len(asked("m-1")) == 8)

        async def all_wait() -> bool:
            await parks_all()
            shown = (await http.get(first.headers["location"])).json()
            return counts(shown) == {"received": 8, "pending": 8, "delayed": 8}

        await until(all_wait)
        await others.resume()
        assert counts(await finished(http, first.headers["location"])) == {"received": 8, "posted": 8}
    async with database.connection() as connection:
        assert await connection.fetchval("select sum(delayed) from batch_outcomes") == 0


async def test_two_workers_share_the_lines_and_move_each_once(
    settings: GatewaySettings, http: httpx.AsyncClient, member: str, projecting: Instance, others: Others
) -> None:
    async with gateway(settings, "worker"):
        sent = [
            await http.post(BATCHES, content=ndjson(purchase(f"t-{k}-{n}") for n in range(200)), headers=NDJSON)
            for k in range(3)
        ]
        for answer in sent:
            assert counts(await finished(http, answer.headers["location"])) == {"received": 200, "posted": 200}
    assert len([m for m in others.heard if m.type == "activity.reported.v1"]) == 600


async def test_a_sender_that_fell_silent_is_given_up(
    settings: GatewaySettings, http: httpx.AsyncClient, member: str, database: Database
) -> None:
    """Its instance died, so nobody else could end the batch."""
    async with database.connection() as connection:
        await connection.execute(
            "insert into batches (program, batch, partner, state, created_at, touched_at) "
            "values ('grocery', 'b-old', 'operator', 'receiving', now(), now() - interval '1 hour')"
        )
        await connection.execute("insert into batch_outcomes (program, batch) values ('grocery', 'b-old')")
    async with gateway(settings, "worker"):
        batch = await finished(http, f"{BATCHES}/b-old")
    assert batch["state"] == "cut_off"


async def test_another_partners_batch_is_not_there(http: httpx.AsyncClient, member: str) -> None:
    answer = await http.post(BATCHES, content=ndjson([purchase("t-1")]), headers=NDJSON)
    await http.put("/v1/partners/acme", json={})
    body = {"scopes": ["earn", "read"], "programs": [PROGRAM]}
    made = (await http.post("/v1/partners/acme/keys", json=body)).json()
    headers = {"authorization": f"Bearer {made['secret']}"}
    for path in ("", "/errors", "/lines"):
        shown = await http.get(answer.headers["location"] + path, headers=headers)
        assert (shown.status_code, shown.json()["code"]) == (404, "batch_unknown")


async def test_the_first_line_of_a_file_that_says_that_it_is_utf_8(
    http: httpx.AsyncClient, member: str, projecting: Instance
) -> None:
    whole = b"\xef\xbb\xbf" + ndjson([purchase("bom-1"), purchase("bom-2")])
    answer = await http.post(BATCHES, content=whole, headers=NDJSON)
    assert answer.headers["upload-offset"] == str(len(whole))
    assert counts(await finished(http, answer.headers["location"])) == {"received": 2, "posted": 2}


async def test_a_time_that_cannot_be_reckoned_with_stops_no_other_line(
    http: httpx.AsyncClient, member: str, projecting: Instance
) -> None:
    """It ended the whole file, and again each time that it was sent on."""
    times = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00")
    wrong = [{**purchase(f"far-{at[:4]}"), "occurred_at": at} for at in times]
    answer = await http.post(BATCHES, content=ndjson([*wrong, purchase("near")]), headers=NDJSON)
    assert answer.status_code == 202, answer.text
    location = answer.headers["location"]
    assert counts(await finished(http, location)) == {"received": 3, "posted": 1, "rejected": 2}
    for row in await rows(http, f"{location}/errors"):
        assert (row["status"], row["code"]) == (422, "invalid")
        assert [(each["pointer"], each["code"]) for each in row["errors"]] == [("/occurred_at", "out_of_range")]
