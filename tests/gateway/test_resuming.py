"""Files that break off go on where they broke off; tables; what packs too well; and who watches."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest

from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from services.gateway.settings import GatewaySettings
from services.gateway.store import batches
from services.gateway.store.batches import Upload
from tests.gateway.files import BATCHES, NDJSON, PACKED, counts, finished, ndjson, rows
from tests.gateway.keys import bearer, key
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, purchase, served, until

pytestmark = pytest.mark.anyio

MAPPING = {
    "columns": {
        "Receipt": "/id", "Card": "/member/value", "When": "/occurred_at", "Total": {"to": "/amount", "digits": 2},
    },
    "constants": {"/type": "purchase", "/member/scheme": "card", "/currency": "USD"},
}  # fmt: skip
CSV = {"content-type": "text/csv; charset=utf-8"}
WHEN = "2026-03-14T09:26:53+00:00"


async def resume(http: httpx.AsyncClient, location: str, offset: int, body: Any, **headers: str) -> httpx.Response:
    return await http.patch(location, content=body, headers={**NDJSON, "upload-offset": str(offset), **headers})


async def offset_of(http: httpx.AsyncClient, location: str) -> int:
    answer = await http.head(location)
    assert (answer.status_code, answer.content) == (200, b"")
    return int(answer.headers["upload-offset"])


async def broken(http: httpx.AsyncClient, whole: bytes, at: int) -> tuple[str, int]:
    """Send a file whose packing breaks at a place; where it is, and how much of it was taken."""
    packed = gzip.compress(whole[:at])[:-4]
    answer = await http.post(BATCHES, content=packed, headers=PACKED)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    taken = int(answer.headers["upload-offset"])
    assert answer.json()["offset"] == taken == await offset_of(http, answer.headers["location"])
    return answer.headers["location"], taken


async def test_a_file_goes_on_where_it_broke_off(
    http: httpx.AsyncClient, member: str, projecting: Instance, others: Others
) -> None:
    activities = [purchase(f"t-{n}") for n in range(600)]
    whole = ndjson(activities)
    location, taken = await broken(http, whole, 40_000)
    assert 0 < taken <= 40_000
    assert whole[:taken].endswith(b"\n")
    assert (await finished(http, location))["state"] == "cut_off"
    wrong = await resume(http, location, taken - 1, whole[taken - 1 :])
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["offset"]) == (409, "offset_mismatch", taken)
    packed = {"content-encoding": "gzip"}
    second = await resume(http, location, taken, gzip.compress(whole[taken : taken + 20_000])[:-4], **packed)
    assert second.status_code == 400
    third = int(second.headers["upload-offset"])
    assert third > taken
    assert (await resume(http, location, third, gzip.compress(whole[third:]), **packed)).status_code == 202
    assert counts(await finished(http, location)) == {"received": 600, "posted": 600}
    asked = [json.loads(m.body)["activity"]["id"] for m in others.heard if m.type == "activity.reported.v1"]
    assert asked == [each["id"] for each in activities]
    assert [each["line"] for each in await rows(http, f"{location}/lines")] == list(range(1, 601))
    assert (await offset_of(http, location)) == len(whole)
    assert (await resume(http, location, len(whole), b"")).json()["code"] == "upload_complete"


async def test_what_was_stored_is_known_where_the_word_of_it_was_lost(
    http: httpx.AsyncClient, member: str, database: Database
) -> None:
    location, taken = await broken(http, ndjson(purchase(f"t-{n}") for n in range(600)), 40_000)
    batch = location.rpartition("/")[2]
    async with database.connection() as connection:
        (row,) = await connection.fetch("select writer, lines_read from batches where batch = $1", batch)
        there = Upload(row["writer"], taken, row["lines_read"])
        assert await batches.stands(connection, PROGRAM, batch, there)
        for other in (replace(there, writer="w-2"), replace(there, offset=taken + 1)):
            assert not await batches.stands(connection, PROGRAM, batch, other)


async def test_whoever_hangs_is_overtaken(http: httpx.AsyncClient, member: str, projecting: Instance) -> None:
    """The connection of the first sender hangs; the same sender comes again at once, and the first is too late."""
    whole = ndjson(purchase(f"t-{n}") for n in range(1200))
    goes_on = asyncio.Event()

    async def hangs() -> AsyncIterator[bytes]:
        yield whole[:120_000]
        await goes_on.wait()
        yield whole[120_000:]

    first = asyncio.create_task(http.post(BATCHES, content=hangs(), headers=NDJSON))

    async def location_of() -> str | None:
        async with projecting.parts.database.connection() as connection:
            row = await connection.fetchrow("select batch, body_offset from batches where body_offset > 0")
        return f"{BATCHES}/{row[0]}" if row is not None else None

    location: str = await until(location_of)
    taken = await offset_of(http, location)
    assert (await resume(http, location, taken, whole[taken:])).status_code == 202
    goes_on.set()
    late = await first
    assert late.status_code == 400
    assert "another one" in late.json()["detail"]
    assert counts(await finished(http, location)) == {"received": 1200, "posted": 1200}


@pytest.mark.parametrize("ended", ["pg_terminate_backend", "pg_cancel_backend"])
async def test_a_file_is_taken_on_after_a_moment_without_the_database(
    http: httpx.AsyncClient,
    member: str,
    projecting: Instance,
    database_urls: DatabaseUrls,
    postgres: EmbeddedPostgres,
    ended: str,
) -> None:
    """What cannot be stored is tried again, while its sender waits."""
    whole = ndjson(purchase(f"t-{n}") for n in range(1200))
    goes_on = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield whole[:120_000]
        await goes_on.wait()
        yield whole[120_000:]

    sending = asyncio.create_task(http.post(BATCHES, content=pieces(), headers=NDJSON))
    owner = await asyncpg.connect(database_urls.owner)
    admin = await asyncpg.connect(postgres.url("admin", "postgres"))
    try:
        await until(lambda: owner.fetchval("select count(*) from gateway.batches where body_offset > 0"))
        async with owner.transaction():
            # Whoever stores a part waits for this row, and is sent away while it does.
            await owner.execute("select from gateway.batches for update")
            goes_on.set()
            waits = (
                "select count({}) from pg_stat_activity where wait_event_type = 'Lock' and query like '%lines_read%'"
            )
            await until(lambda: admin.fetchval(waits.format("*")))
            assert await admin.fetchval(waits.format(f"{ended}(pid)"))
        answer = await sending
    finally:
        await owner.close()
        await admin.close()
    assert answer.status_code == 202, answer.text
    assert counts(await finished(http, answer.headers["location"])) == {"received": 1200, "posted": 1200}
    assert int(answer.headers["upload-offset"]) == len(whole)


async def test_a_long_line_may_come_slowly(settings: GatewaySettings, member: str, projecting: Instance) -> None:
    """As long as bytes come nobody takes the file for abandoned, though no line has ended."""
    line = json.dumps(purchase("t-slow")).encode() + b"\n"
    hurried = settings.model_copy(update={"batch_silence_seconds": 1.5})

    async def slowly() -> AsyncIterator[bytes]:
        for start in range(0, len(line), 12):
            yield line[start : start + 12]
            await asyncio.sleep(0.3)

    async with gateway(hurried) as there, served(there, hurried) as port:
        key_ = there.http.headers["authorization"]
        headers = {**NDJSON, "authorization": key_}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as http:
            answer = await http.post(BATCHES, content=slowly())
            assert answer.status_code == 202, answer.text
            assert counts(await finished(there.http, answer.headers["location"])) == {"received": 1, "posted": 1}


@pytest.mark.parametrize("lines", [20, 1200])
async def test_who_is_overtaken_is_told_however_little_it_sends(
    http: httpx.AsyncClient, member: str, projecting: Instance, lines: int
) -> None:
    """What came last is stored with the end of the body."""
    whole = ndjson(purchase(f"t-{n}") for n in range(lines))
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def hangs() -> AsyncIterator[bytes]:
        yield whole[:-20]
        begun.set()
        await goes_on.wait()
        yield whole[-20:]

    first = asyncio.create_task(http.post(BATCHES, content=hangs(), headers=NDJSON))
    await begun.wait()

    async def location_of() -> str | None:
        async with projecting.parts.database.connection() as connection:
            row = await connection.fetchrow("select batch from batches")
        return f"{BATCHES}/{row[0]}" if row is not None else None

    location: str = await until(location_of)
    # Where nothing is stored yet, everything comes again.
    taken = await until(lambda: _stands(http, location)) - 1
    assert (await resume(http, location, taken, whole[taken:])).status_code == 202
    goes_on.set()
    late = await first
    assert (late.status_code, "another one" in late.json().get("detail", "")) == (400, True)
    assert counts(await finished(http, location)) == {"received": lines, "posted": lines}


async def _stands(http: httpx.AsyncClient, location: str) -> int:
    """Where a file stands once that does not move, and one more, so that its beginning is something, too."""
    first = await offset_of(http, location)
    await asyncio.sleep(0.2)
    return first + 1 if await offset_of(http, location) == first else 0


@pytest.mark.parametrize("lines", [20, 1200])
async def test_a_key_that_ends_sends_nothing_more(
    http: httpx.AsyncClient, member: str, projecting: Instance, here: Instance, lines: int
) -> None:
    """Also on a connection that was open before; another key of the partner sends the rest."""
    made = await key(http, scopes=["earn"])
    whole = ndjson(purchase(f"t-{n}") for n in range(lines))
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield whole[:-20]
        begun.set()
        await goes_on.wait()
        yield whole[-20:]

    first = asyncio.create_task(http.post(BATCHES, content=slowly(), headers={**NDJSON, **bearer(made)}))
    await begun.wait()
    assert (await http.delete(f"/v1/partners/acme/keys/{made['key']}")).status_code == 204
    goes_on.set()
    ended = await first
    assert (ended.status_code, ended.json()["code"]) == (401, "unauthenticated"), ended.text
    location, taken = ended.headers["location"], int(ended.headers["upload-offset"])
    assert 0 <= taken < len(whole)
    theirs = bearer(await key(http))
    assert (await resume(http, location, taken, whole[taken:], **theirs)).status_code == 202
    assert counts(await finished(http, location)) == {"received": lines, "posted": lines}


async def test_who_was_never_told_of_its_file_finds_it(
    settings: GatewaySettings, here: Instance, member: str, projecting: Instance
) -> None:
    """The connection is lost in the middle, so no answer ever came. Nobody else's files are shown beside it."""
    http = here.http
    whole = ndjson(purchase(f"t-{n}") for n in range(1200))
    theirs = bearer(await key(http))
    sent = [
        await http.post(BATCHES, content=ndjson([purchase(f"own-{n}")]), headers={**NDJSON, **theirs}) for n in "ab"
    ]
    assert (await http.post(BATCHES, content=ndjson([purchase("ours")]), headers=NDJSON)).status_code == 202
    async with served(here, settings) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST {BATCHES} HTTP/1.1\r\nhost: x\r\nauthorization: {theirs['authorization']}\r\n"
        head += f"content-type: application/x-ndjson\r\ncontent-length: {len(whole)}\r\n\r\n"
        writer.write(head.encode() + whole[:150_000])
        await writer.drain()
        writer.close()

        async def lost() -> str | None:
            (newest,) = (await http.get(BATCHES, params={"limit": "1"}, headers=theirs)).json()["data"]
            return newest["batch"] if newest["state"] == "cut_off" else None

        location = f"{BATCHES}/{await until(lost)}"
    taken = int((await http.head(location, headers=theirs)).headers["upload-offset"])
    assert taken > 100_000
    assert (await resume(http, location, taken, whole[taken:], **theirs)).status_code == 202
    assert counts(await finished(http, location)) == {"received": 1200, "posted": 1200}

    seen: list[str] = []
    cursor: dict[str, str] = {}
    while len(seen) < 10:
        listed = (await http.get(BATCHES, params={"limit": "1", **cursor}, headers=theirs)).json()
        seen += [f"{BATCHES}/{each['batch']}" for each in listed["data"]]
        if listed["next_cursor"] is None:
            break
        cursor = {"cursor": listed["next_cursor"]}
    assert seen == [location, *(answer.headers["location"] for answer in reversed(sent))]
    of_acme = (await http.get(BATCHES, params={"partner": "acme"})).json()["data"]
    assert [f"{BATCHES}/{each['batch']}" for each in of_acme] == seen
    assert of_acme[0]["created_at"] > of_acme[1]["created_at"]
    foreign = await http.get(BATCHES, params={"partner": "operator"}, headers=theirs)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "partner_unknown")


async def test_who_may_not_send_on(http: httpx.AsyncClient, member: str, here: Instance) -> None:
    whole = ndjson(purchase(f"t-{n}") for n in range(600))
    location, taken = await broken(http, whole, 40_000)
    theirs = bearer(await key(http))
    assert (await resume(http, location, taken, whole, **theirs)).status_code == 404
    assert (await http.head(location, headers=theirs)).status_code == 404
    reads = bearer(await key(http, "operator", scopes=["read"]))
    assert (await resume(http, location, taken, whole, **reads)).status_code == 403
    assert (await resume(http, f"{BATCHES}/b-none", 0, whole)).status_code == 404
    assert (await resume(http, location, taken, whole, **CSV)).status_code == 415
    for given in ("", "-1", "1.5", "1e3", "9" * 30):
        answer = await http.patch(location, content=whole, headers={**NDJSON, "upload-offset": given})
        assert answer.status_code == 422, given
        assert answer.json()["errors"][0]["pointer"] == "/header/Upload-Offset"
    assert await offset_of(http, location) == taken


async def test_a_table_is_a_file_like_any_other(
    http: httpx.AsyncClient, member: str, projecting: Instance, others: Others
) -> None:
    good = [f"t-{n},6340001,{WHEN},{n}.50" for n in range(400)]
    bad = [f"x-1,999,{WHEN},1.00", f"x-2,6340001,{WHEN},1.005", "x-3,6340001", f'"x,4",6340001,{WHEN},1.00']
    text = "\ufeffReceipt,Card,When,Total\r\n" + "\r\n".join([*good, *bad]) + "\r\n"
    whole = text.encode()
    query = {"mapping": json.dumps(MAPPING)}
    answer = await http.post(BATCHES, content=whole, headers=CSV, params=query)
    assert answer.status_code == 202, answer.text
    location = answer.headers["location"]
    assert counts(await finished(http, location)) == {"received": 404, "posted": 400, "rejected": 4}
    assert (await http.get(f"/v1/programs/{PROGRAM}/activities/t-399")).json()["awards"][0]["amount"] == 399
    errors = await rows(http, f"{location}/errors")
    assert [(each["line"], each["code"]) for each in errors] == [
        (402, "member_unknown"), (403, "invalid"), (404, "invalid"), (405, "invalid"),
    ]  # fmt: skip
    # A row that is too short says none, for nobody knows which cell is missing.
    assert [each["id"] for each in errors] == ["x-1", "x-2", None, "x,4"]
    assert errors[1]["errors"][0]["pointer"] == "/amount"
    # The same table again, packed, and in two parts: nothing changes.
    for encoding in ("gzip", "x-gzip"):
        headers = {**CSV, "content-encoding": encoding}
        answer = await http.post(BATCHES, content=gzip.compress(whole), headers=headers, params=query)
        assert answer.status_code == 202, answer.text
        shown = await finished(http, answer.headers["location"])
        assert counts(shown) == {"received": 404, "duplicate": 400, "rejected": 4}
    packed = gzip.compress(whole[: len(whole) // 2])[:-4]
    cut = await http.post(BATCHES, content=packed, headers={**CSV, "content-encoding": "gzip"}, params=query)
    taken = int(cut.headers["upload-offset"])
    again = await resume(http, cut.headers["location"], taken, whole[taken:], **CSV)
    assert again.status_code == 202, again.text
    shown = await finished(http, cut.headers["location"])
    assert counts(shown) == {"received": 404, "duplicate": 400, "rejected": 4}
    assert [each["line"] for each in await rows(http, f"{cut.headers['location']}/errors")] == [402, 403, 404, 405]
    assert len([m for m in others.heard if m.type == "activity.reported.v1"]) == 400


async def test_a_table_whose_header_does_not_fit_makes_no_batch(http: httpx.AsyncClient, here: Instance) -> None:
    mapping = json.dumps(MAPPING)
    cases: list[tuple[bytes, dict[str, str], dict[str, str], int]] = [
        (b"Receipt,Card,When\n", CSV, {"mapping": mapping}, 422),
        (b"Receipt,Card,When,Total\n", CSV, {}, 422),
        (b"Receipt,Card,When,Total\n", CSV, {"mapping": "{}"}, 422),
        (b"", CSV, {"mapping": mapping}, 400),
        (b"\xff\xfe", CSV, {"mapping": mapping}, 400),
        (gzip.compress(b"x" * 1000)[:-9], {**CSV, "content-encoding": "gzip"}, {"mapping": mapping}, 400),
        (b"{}\n", NDJSON, {"mapping": mapping}, 422),
    ]
    for body, headers, query, status in cases:
        answer = await http.post(BATCHES, content=body, headers=headers, params=query)
        assert answer.status_code == status, (body, answer.text)
    async with here.parts.database.connection() as connection:
        assert await connection.fetchval("select count(*) from batches") == 0


async def test_what_packs_too_well_is_stopped(http: httpx.AsyncClient, member: str, projecting: Instance) -> None:
    head = ndjson([purchase("t-1")])
    bomb = gzip.compress(head + b" " * 200_000_000, 6)
    assert len(bomb) < 300_000
    answer = await http.post(BATCHES, content=bomb, headers=PACKED)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    shown = await finished(http, answer.headers["location"])
    assert (shown["state"], shown["posted"]) == ("cut_off", 1)


async def test_a_watcher_is_told_until_the_end(
    settings: GatewaySettings, http: httpx.AsyncClient, member: str, others: Others
) -> None:
    others.silent = True
    sent = await http.post(BATCHES, content=ndjson(purchase(f"t-{n}") for n in range(20)), headers=NDJSON)
    watched = asyncio.create_task(http.get(sent.headers["location"], headers={"accept": "text/event-stream"}))
    async with gateway(settings, "worker"):
        await until(lambda: len(others.heard) > 20)
        assert not watched.done()
        await others.resume()
        answer = await asyncio.wait_for(watched, 20)
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = [json.loads(each.partition("data: ")[2]) for each in answer.text.split("\n\n") if "data: " in each]
    assert told[-1] == (await http.get(sent.headers["location"])).json()
    assert told[-1]["state"] == "done"
    assert told[0]["posted"] == 0
    assert [each["posted"] for each in told] == sorted(each["posted"] for each in told)
