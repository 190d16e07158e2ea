"""A gateway that is open for business: a program is published, the others answer."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from laurel.io.database import Database
from laurel.io.kafka import ensure_topics
from laurel.io.migrating import DatabaseUrls
from laurel.io.topics import Topics
from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, grocery

SECRET = "s" * 48


@pytest.fixture
def settings(database_urls: DatabaseUrls, broker: str, session_timeout_ms: int, tmp_path: Path) -> GatewaySettings:
    return GatewaySettings(
        database_url=SecretStr(database_urls.gateway),
        kafka_bootstrap=broker,
        kafka_prefix=f"g{uuid.uuid4().hex[:8]}",
        kafka_partitions=2,
        kafka_session_timeout_ms=session_timeout_ms,
        secret=SecretStr(SECRET),
        admin_key_file=tmp_path / "admin.key",
        points_url="http://127.0.0.1:9",
        redemption_url="http://127.0.0.1:9",
        batch_poll_seconds=0.05,
        key_cache_seconds=0.2,
        # On a busy machine a connection may take a second to come back, and nothing of that is told here.
        database_wait_seconds=5.0,
    )


@pytest.fixture
async def database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    """The gateway's own tables, to look into."""
    database = await Database.connect(database_urls.gateway, schema="gateway", application="test")
    yield database
    await database.close()


@pytest.fixture
async def topics(settings: GatewaySettings) -> None:
    """The topics of all three services, as a start of everything makes them."""
    services = [
        Topics(name, prefix=settings.kafka_prefix, partitions=2) for name in ("gateway", "points", "redemption")
    ]
    await ensure_topics(settings, {topic.name: topic for each in services for topic in each.all()}.values())


@pytest.fixture
async def others(settings: GatewaySettings, topics: None) -> AsyncIterator[Others]:
    others = Others(settings)
    async with others.speaking():
        yield others


@pytest.fixture
async def here(settings: GatewaySettings, others: Others) -> AsyncIterator[Instance]:
    """One instance that answers callers, with the program published. Nothing is projected."""
    async with gateway(settings, "api") as instance:
        published = await instance.http.put(f"/v1/programs/{PROGRAM}", json=grocery())
        assert published.status_code == 201, published.text
        yield instance


@pytest.fixture
async def projecting(settings: GatewaySettings, here: Instance) -> AsyncIterator[Instance]:
    """A worker beside it."""
    async with gateway(settings, "worker") as instance:
        yield instance


@pytest.fixture
def http(here: Instance) -> httpx.AsyncClient:
    return here.http


@pytest.fixture
async def member(http: httpx.AsyncClient) -> str:
    """A member with a card."""
    body: dict[str, Any] = {
        "member": "m-1",
        "identifiers": [{"scheme": "card", "value": "6340001"}],
        "enrolled_at": "2026-01-01T00:00:00+00:00",
    }
    answer = await http.post(f"/v1/programs/{PROGRAM}/members", json=body)
    assert answer.status_code == 201, answer.text
    return "m-1"
