"""Programs: published once, versioned, checked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer

from laurel.contracts.programs import ProgramPublished
from laurel.io.database import Database
from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM, grocery
from tests.program.wrong import WRONG

pytestmark = pytest.mark.anyio

PATH = f"/v1/programs/{PROGRAM}"
LATER = "2099-01-01T00:00:00+00:00"
YAML = {"content-type": "application/yaml"}


async def test_the_same_document_again_is_the_same_version(http: httpx.AsyncClient) -> None:
    again = await http.put(PATH, json=grocery())
    assert again.status_code == 200
    assert again.json() == {"program": PROGRAM, "version": 1, "effective_from": "2017-01-01T05:00:00Z"}
    reordered = dict(reversed(grocery().items()))
    assert (await http.put(PATH, json=reordered)).status_code == 200


async def test_yaml_is_the_same_document_as_json(http: httpx.AsyncClient) -> None:
    text = (Path(__file__).parents[2] / "programs" / "grocery.yaml").read_text(encoding="utf-8")
    path = "/v1/programs/grocery-2"
    body = text.replace("program: grocery\n", "")
    first = await http.put(path, content=body, headers=YAML)
    assert first.status_code == 201, first.text
    document = (await http.get(path)).json()["document"]
    assert document["program"] == "grocery-2", "its own id may be missing"
    assert (await http.put(path, json=document)).status_code == 200


async def test_versions_are_counted_kept_and_listed(http: httpx.AsyncClient) -> None:
    for number in range(2, 6):
        changed = await http.put(PATH, json=grocery(name=f"Version {number}", effective_from=LATER))
        assert (changed.status_code, changed.json()["version"]) == (201, number)
    page = (await http.get(f"{PATH}/versions?limit=3")).json()
    assert [each["version"] for each in page["data"]] == [1, 2, 3]
    rest = (await http.get(f"{PATH}/versions", params={"limit": 3, "cursor": page["next_cursor"]})).json()
    assert [each["version"] for each in rest["data"]] == [4, 5]
    assert rest["next_cursor"] is None
    third = (await http.get(f"{PATH}/versions/3")).json()
    assert (third["version"], third["document"]["name"]) == (3, "Version 3")
    assert (await http.get(f"{PATH}/versions/6")).status_code == 404
    assert (await http.get(f"{PATH}/versions/first")).status_code == 404
    assert (await http.get(PATH)).json()["version"] == 1, "the one in force, not the newest"


async def test_a_version_does_not_begin_in_the_past(http: httpx.AsyncClient) -> None:
    answer = await http.put(PATH, json=grocery(name="Too late", effective_from="2020-01-01T00:00:00Z"))
    assert (answer.status_code, answer.json()["code"]) == (409, "effective_in_past")
    manual = "/v1/programs/sandbox"
    assert (await http.put(manual, json=grocery(program="sandbox", clock="manual"))).status_code == 201
    earlier = grocery(program="sandbox", clock="manual", name="Other", effective_from="1999-01-01T00:00:00Z")
    assert (await http.put(manual, json=earlier)).status_code == 201, "before a clock is set nothing is past"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"clock": "manual"}, "/clock"),
        ({"time_zone": "Asia/Tokyo"}, "/time_zone"),
        ({"units": {"point": {"scale": 2, "validity": {"kind": "never"}}}}, "/units/point/scale"),
    ],
)
async def test_what_is_fixed_is_not_changed_by_a_new_version(
    http: httpx.AsyncClient, change: dict[str, Any], pointer: str
) -> None:
    before = (await http.get(f"{PATH}/versions")).json()
    changed = grocery(effective_from=LATER, **change)
    for answer in (await http.post(f"{PATH}/validate", json=changed), await http.put(PATH, json=changed)):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), answer.text
        assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [(pointer, "fixed")]
    assert (await http.get(f"{PATH}/versions")).json() == before


async def test_every_fault_is_named_with_its_pointer(http: httpx.AsyncClient) -> None:
    body = grocery(program=None, surprise=1, clock="sundial")
    body.pop("time_zone")
    answer = await http.put(PATH, json={**body, "program": "another"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    pointers = {fault["pointer"] for fault in answer.json()["errors"]}
    assert pointers >= {"/program", "/surprise", "/clock", "/time_zone"}


async def test_what_cannot_be_read_is_told_and_nothing_is_published(http: httpx.AsyncClient) -> None:
    cases: list[tuple[bytes, dict[str, str], int, str]] = [
        (b"{", {"content-type": "application/json"}, 400, "malformed"),
        (b"a: [", YAML, 400, "malformed"),
        (b"\xff\xfe", YAML, 400, "malformed"),
        (b"[]", {"content-type": "application/json"}, 422, "invalid"),
        (b"", YAML, 422, "invalid"),
        (b"{}", {"content-type": "text/plain"}, 415, "unsupported"),
        (b"{}", {}, 415, "unsupported"),
        (b"{}", {"content-type": "application/json", "content-encoding": "gzip"}, 415, "unsupported"),
        (b" " * 1_100_000, {"content-type": "application/json"}, 413, "too_large"),
    ]
    for body, headers, status, code in cases:
        answer = await http.put("/v1/programs/other", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (body[:80], headers, answer.text)
        assert (await http.get("/v1/programs/other")).status_code == 404


async def test_checking_publishes_nothing(http: httpx.AsyncClient) -> None:
    good = await http.post("/v1/programs/new/validate", json=grocery(program="new"))
    assert (good.status_code, good.json()["valid"]) == (200, True)
    bad = await http.post("/v1/programs/new/validate", json=grocery(program="new", units={}))
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/units")
    assert (await http.get("/v1/programs/new")).status_code == 404


@pytest.mark.parametrize("name", WRONG)
async def test_a_program_that_contradicts_itself_is_refused_at_every_door(http: httpx.AsyncClient, name: str) -> None:
    document, pointer, code = WRONG[name]
    path = f"/v1/programs/{document['program']}"
    for answer in (await http.post(f"{path}/validate", json=document), await http.put(path, json=document)):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [(pointer, code)]
    assert (await http.get(path)).status_code == 404


async def test_of_many_publications_at_once_each_is_counted_once(http: httpx.AsyncClient, database: Database) -> None:
    path = "/v1/programs/raced"
    answers = await asyncio.gather(
        *(http.put(path, json=grocery(program="raced", name=f"Name {n}", effective_from=LATER)) for n in range(8)),
        *(http.put(path, json=grocery(program="raced", name="Name 0", effective_from=LATER)) for _ in range(2)),
    )
    assert {answer.status_code for answer in answers} <= {200, 201}
    versions = [answer.json()["version"] for answer in answers if answer.status_code == 201]
    assert sorted(versions) == list(range(1, len(versions) + 1))
    async with database.connection() as connection:
        assert await connection.fetchval("select version from programs where program = 'raced'") == len(versions)


async def test_each_version_is_a_record_of_its_own_on_the_compacted_topic(
    http: httpx.AsyncClient, settings: GatewaySettings
) -> None:
    await http.put(PATH, json=grocery(name="Second", effective_from=LATER))
    consumer = AIOKafkaConsumer(
        f"{settings.kafka_prefix}.programs.v1",
        bootstrap_servers=settings.kafka_bootstrap,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        records = [await asyncio.wait_for(consumer.getone(), 10) for _ in range(2)]
    finally:
        await consumer.stop()
    assert [record.key for record in records] == [b"grocery:1", b"grocery:2"]
    second = ProgramPublished.model_validate_json(records[1].value)
    assert (second.version, second.document["name"]) == (2, "Second")
    assert json.loads(records[1].value)["document"]["clock"] == "wall"
