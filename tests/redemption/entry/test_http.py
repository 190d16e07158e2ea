"""The internal door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from laurel.io.database import Database
from laurel.io.health import Health
from services.redemption.app import application
from services.redemption.settings import RedemptionSettings
from services.redemption.store.vault import Vault
from services.redemption.testing import points_held, redemption_requested, reward_published
from services.redemption.wiring import Parts

pytestmark = pytest.mark.anyio

PATH = "/v1/programs/grocery"


def client_of(database: Database, vault: Vault, *, answers: bool = True, **more: Any) -> httpx.AsyncClient:
    settings = RedemptionSettings(secret=SecretStr("s" * 48), **more)
    app = application(Parts(settings, database, vault, Health()), answers=answers)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")


@pytest.fixture
async def client(database: Database, vault: Vault) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(database, vault) as client:
        yield client


async def test_catalogue_comes_in_pages(client: httpx.AsyncClient, counter: Any) -> None:
    await counter.hear(*[reward_published(f"reward-{n}", stock=n) for n in range(5)])
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get(f"{PATH}/rewards", params={"limit": 2, **cursor})).json()
        seen.extend(reward["reward"] for reward in page["data"])
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == [f"reward-{n}" for n in range(5)]
    assert page["data"][0]["left"] == 4
    assert (await client.get("/v1/programs/nobody/rewards")).json() == {"data": [], "next_cursor": None}


async def test_codes_are_shown_by_redemption(client: httpx.AsyncClient, counter: Any) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1", quantity=2))
    await counter.hear(points_held("m-1", "r-1", 200))
    for query in ({"redemption": "r-1"}, {"redemption": "r-1", "member": "m-1"}):
        found = (await client.get(f"{PATH}/vouchers", params=query)).json()["data"]
        assert [voucher["suffix"] for voucher in found] == [voucher["code"][-4:] for voucher in found]
        assert len(found) == 2
    for query in ({"redemption": "r-1", "member": "m-2"}, {"redemption": "r-2"}):
        assert (await client.get(f"{PATH}/vouchers", params=query)).json()["data"] == []


async def test_codes_want_the_token_where_there_is_one(database: Database, vault: Vault) -> None:
    async with client_of(database, vault, codes_token=SecretStr("t" * 32)) as client:
        for shown in (b"", b"Bearer wrong", "Bearer ünsicher".encode()):
            answer = await client.get(
                f"{PATH}/vouchers", params={"redemption": "r-1"}, headers={b"Authorization": shown}
            )
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        header = {"Authorization": "Bearer " + "t" * 32}
        answer = await client.get(f"{PATH}/vouchers", params={"redemption": "r-1"}, headers=header)
        assert answer.status_code == 200
        assert (await client.get(f"{PATH}/rewards")).status_code == 200


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        (f"{PATH}/rewards?limit=0", "/query/limit"),
        (f"{PATH}/rewards?limit=501", "/query/limit"),
        (f"{PATH}/rewards?limit=ten", "/query/limit"),
        (f"{PATH}/rewards?cursor=%00", "/query/cursor"),
        (f"{PATH}/rewards?cursor=AAA", "/query/cursor"),
        (f"{PATH}/rewards?cursor=AA==", "/query/cursor"),
        ("/v1/programs/a:b/rewards", "/path/program"),
        (f"{PATH}/vouchers", "/query/redemption"),
        (f"{PATH}/vouchers?redemption=%00", "/query/redemption"),
        (f"{PATH}/vouchers?redemption=r-1&member=!", "/query/member"),
    ],
)
async def test_bad_input_is_told_with_its_place(client: httpx.AsyncClient, path: str, pointer: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid"
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_a_process_that_only_works_shows_its_health(database: Database, vault: Vault) -> None:
    async with client_of(database, vault, answers=False) as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 200
        assert "laurel_redemption_said_total" in (await client.get("/metrics")).text
        assert (await client.get(f"{PATH}/rewards")).json()["code"] == "not_found"
