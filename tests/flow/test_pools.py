"""Codes of a partner, from its file to the member who is shown one: through gateways, Kafka and Postgres."""

from __future__ import annotations

import asyncio
import gzip
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.clubcard import BASE, CLUBCARD, buy, enrol, vouchers_of
from tests.flow.nursery import Nursery
from tests.flow.stage import Door, Town

pytestmark = pytest.mark.anyio

CODES = f"{BASE}/rewards/film/codes"


@pytest.fixture
async def town(
    database_urls: DatabaseUrls, town_kafka: KafkaSettings, tmp_path: Path, forks: Nursery | None
) -> AsyncIterator[Town]:
    parts = {"gateway": "both", "gateway-2": "both", "points": "both", "redemption": "both"}
    kafka = town_kafka.model_copy(update={"kafka_prefix": f"c{uuid.uuid4().hex[:8]}"})
    async with Town(tmp_path, database_urls, kafka, parts, forks).open() as town:
        await town.door().publish(CLUBCARD)
        yield town


async def give(door: Door, text: str, media: str = "application/x-ndjson", expect: int = 200) -> Any:
    answer = await door.http.post(f"/v1/{CODES}", content=text.encode(), headers={"content-type": media})
    assert answer.status_code == expect, answer.text
    return answer.json()


async def test_a_partners_codes_are_handed_out_once_each(town: Town) -> None:
    door, other = town.door(), town.door("gateway-2")
    await enrol(door, "m-1")
    await buy(door, "b-1", "m-1", 30000)
    assert (await give(door, '{"code": "A"}', expect=404))["code"] == "reward_unknown"
    reward = {"name": "A film", "kind": "voucher", "unit": "point", "price": 10, "voucher": {"codes": "pool"}}
    await door.call("PUT", f"{BASE}/rewards/film", reward, 201)
    await door.call("PUT", f"{BASE}/rewards/mug", {**reward, "kind": "product", "voucher": None}, 201)
    assert (await door.redeem("clubcard", "k-0", "m-1", "film", 409))["code"] == "sold_out"

    lines = [json.dumps({"code": f"FILM-{number:03}"}) for number in range(5)]
    lines[2] = '{"code": 5}'
    told = await give(door, "\n".join([*lines, "", "nothing", lines[0]]))
    assert {name: told[name] for name in ("reward", "received", "added", "duplicate", "rejected")} == {
        "reward": "film", "received": 7, "added": 4, "duplicate": 1, "rejected": 2,
    }  # fmt: skip
    assert [(each["line"], each["code"]) for each in told["errors"]] == [
        (3, "invalid"),
        (7, "invalid"),
        (8, "duplicate"),
    ]
    assert "FILM" not in json.dumps(told), "a code is not quoted"
    csv = "expires_at,code\r\n2030-01-01T00:00:00Z,GALA-1\r\n,FILM-001\r\nsoon,GALA-2\r\nGALA-3\r\n"
    told = await give(other, csv, "text/csv")
    assert (told["added"], told["duplicate"], told["rejected"]) == (1, 1, 2)
    assert (await give(other, csv, "text/csv"))["added"] == 0
    wrong = await give(other, "codes\nGALA-4\n", "text/csv", 422)
    assert [fault["pointer"] for fault in wrong["errors"]] == ["/line/1"]
    await give(door, "{}", "application/json", 415)

    async def redeem(number: int) -> tuple[str, str | None]:
        body = {"member": "m-1", "reward": "film"}
        answer = await (door, other)[number % 2].ask(
            "POST", f"{BASE}/redemptions", body, idempotency_key=f'"k-{number + 1}"'
        )
        told = answer.json()
        return ("won", told["vouchers"][0]["code"]) if answer.status_code == 201 else (told["code"], None)

    answers = await asyncio.gather(*(redeem(number) for number in range(12)))
    assert Counter(word for word, _ in answers) == {"won": 5, "sold_out": 7}
    codes = sorted(code for _, code in answers if code is not None)
    assert codes == ["FILM-000", "FILM-001", "FILM-003", "FILM-004", "GALA-1"]
    shown = {each["code"]: each for each in await vouchers_of(other, "m-1")}
    assert sorted(shown) == codes
    assert shown["GALA-1"]["expires_at"].startswith("2030-01-01T00:00:00")
    path = f"{BASE}/vouchers/FILM-003"
    assert (await other.call("GET", path))["used_here"] is False
    refused = await door.call("POST", f"{path}/redeem", {"reference": "t-1"}, 409)
    assert refused["code"] == "voucher_not_here"
    await town.prove()
    for table in ("gateway.outbox", "gateway.requests", "redemption.outbox", "redemption.saga_decisions"):
        everything = repr(await town.rows(f"select t::text from {table} t"))
        assert not [code for code in codes if code in everything]
    assert not [code for code in codes if code in town.told()]


async def test_only_an_admin_gives_codes(town: Town) -> None:
    door = town.door()
    await door.call("PUT", "partners/acme", {"name": "Acme"}, 201)
    made = await door.call("POST", "partners/acme/keys", {"scopes": ["redeem"], "programs": ["clubcard"]}, 201)
    assert (await give(town.door("gateway", made["secret"]), '{"code": "A"}', expect=403))["code"] == "scope_missing"


async def test_a_file_of_codes_may_be_packed(town: Town) -> None:
    door = town.door()
    reward = {"name": "A film", "kind": "voucher", "unit": "point", "price": 10, "voucher": {"codes": "pool"}}
    await door.call("PUT", f"{BASE}/rewards/film", reward, 201)
    packed = gzip.compress("".join(f'{{"code": "FILM-{number:05}"}}\n' for number in range(5_000)).encode())

    async def send(body: bytes, encoding: str = "gzip") -> tuple[int, Any]:
        headers = {"content-type": "application/x-ndjson", "content-encoding": encoding}
        answer = await door.http.post(f"/v1/{CODES}", content=body, headers=headers)
        return answer.status_code, answer.json()

    status, told = await send(packed[: len(packed) * 3 // 4])
    assert (status, told["code"]) == (400, "malformed")
    assert 0 < told["added"] < 5_000, "whole lines before the break are taken"
    status, again = await send(packed)
    assert (status, again["received"], again["added"]) == (200, 5_000, 5_000 - told["added"])
    assert again["duplicate"] == told["added"]
    status, bomb = await send(gzip.compress(b"x" * 64 * 1024 * 1024))
    assert (status, bomb["code"]) == (413, "too_large")
    assert (await send(b"nothing packed"))[1]["code"] == "malformed"
    assert (await send(packed, "br"))[0] == 415
    offered = (await door.call("GET", "programs/clubcard/rewards?on=2021-02-10"))["data"]
    assert [each["left"] for each in offered] == [5_000]
    await town.prove()
