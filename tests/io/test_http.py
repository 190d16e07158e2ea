"""The door of every service: problem documents, ids, limits, health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Body, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from laurel.embedded.ports import free_port
from laurel.errors import Problem, Refused
from laurel.io.health import Health
from laurel.io.http import request_id, serve, service_app, traceparent
from tests.io.door import Settings

pytestmark = pytest.mark.anyio


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    amount: int


class Basket(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, Field(min_length=1)]
    lines: list[Line] = []


def _app(health: Health) -> FastAPI:
    app = service_app("test", Settings(), None, health)

    @app.post("/baskets/{number}")
    async def baskets(number: int, basket: Annotated[Basket, Body()]) -> dict[str, Any]:
        return {"id": basket.id, "number": number}

    @app.post("/raw")
    async def raw(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    @app.post("/large")
    async def large(request: Request) -> dict[str, int]:
        request.state.body_bytes_max = 1000
        return {"size": len(await request.body())}

    @app.get("/refused")
    async def refused() -> None:
        raise Refused("insufficient_points", "Too few.", available=3)

    @app.get("/problem")
    async def problem() -> None:
        raise Problem("overloaded", retry_after_seconds=2)

    @app.get("/mistake")
    async def mistake() -> None:
        raise ZeroDivisionError

    @app.get("/who")
    async def who(request: Request) -> list[str]:
        return [request_id(request), traceparent(request)]

    return app


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(_app(health), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as opened:
        yield opened


def _problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    document: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code", "errors"} <= document.keys()
    assert (document["status"], document["code"]) == (status, code)
    return document


async def test_every_fault_of_a_body_has_its_pointer(client: httpx.AsyncClient) -> None:
    answer = await client.post("/baskets/1", json={"id": "", "lines": [{"amount": 1}, {"amount": "2", "a/b~": 1}]})
    document = _problem(answer, 422, "invalid")
    assert [fault["pointer"] for fault in document["errors"]] == ["/id", "/lines/1/amount", "/lines/1/a~1b~0"]
    assert all(fault["code"] and fault["detail"] for fault in document["errors"])
    assert document["instance"] == "/baskets/1"
    answer = await client.post("/baskets/x", json={"id": "a"})
    assert [fault["pointer"] for fault in _problem(answer, 422, "invalid")["errors"]] == ["/path/number"]


@pytest.mark.parametrize(("body", "code", "status"), [(b"{", "malformed", 400), (b"\xff\xfe", "malformed", 400)])
async def test_a_body_that_is_not_json(client: httpx.AsyncClient, body: bytes, code: str, status: int) -> None:
    answer = await client.post("/baskets/1", content=body, headers={"content-type": "application/json"})
    _problem(answer, status, code)


async def test_a_body_over_the_limit(client: httpx.AsyncClient) -> None:
    many = b'{"id": "' + b"a" * 300 + b'"}'
    _problem(
        await client.post("/baskets/1", content=many, headers={"content-type": "application/json"}), 413, "too_large"
    )
    _problem(await client.post("/raw", content=many), 413, "too_large")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"a" * 50

    _problem(await client.post("/raw", content=pieces()), 413, "too_large")
    assert (await client.post("/raw", content=b"a" * 200)).json() == {"size": 200}
    assert (await client.post("/large", content=b"a" * 900)).json() == {"size": 900}
    _problem(await client.post("/large", content=b"a" * 1001), 413, "too_large")


async def test_errors_of_ours_and_of_the_framework_are_problems(client: httpx.AsyncClient) -> None:
    assert _problem(await client.get("/refused"), 409, "insufficient_points")["available"] == 3
    answer = await client.get("/problem")
    _problem(answer, 503, "overloaded")
    assert answer.headers["retry-after"] == "2"
    _problem(await client.get("/nowhere"), 404, "not_found")
    answer = await client.delete("/refused")
    _problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"
    document = _problem(await client.get("/mistake"), 500, "internal")
    assert "ZeroDivisionError" not in str(document)


async def test_the_request_keeps_its_callers_id_and_trace_if_they_are_good(client: httpx.AsyncClient) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    answer = await client.get("/who", headers={"X-Request-Id": "till-7", "traceparent": trace})
    assert answer.json() == ["till-7", trace]
    assert answer.headers["x-request-id"] == "till-7"
    answer = await client.get("/who", headers={"X-Request-Id": "no good\\", "traceparent": "00-x"})
    assert answer.json() == [answer.headers["x-request-id"], ""]
    assert len(answer.json()[0]) == 24


async def test_health_says_what_is_not_ready(client: httpx.AsyncClient, health: Health) -> None:
    assert (await client.get("/health/live")).status_code == 200
    health.not_ready("relay", "no broker")
    answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["not_ready"] == {"relay": "no broker"}
    health.ready("relay")
    health.detail("gaps", "one key waits")
    answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json()["details"] == {"gaps": "one key waits"}
    assert "laurel_ready" in (await client.get("/metrics")).text


async def test_it_serves_until_cancelled_and_says_when_it_cannot(health: Health) -> None:
    settings = Settings(http_port=free_port())
    serving = asyncio.create_task(serve(_app(health), settings))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.http_port}") as opened:
        for _ in range(100):
            try:
                answer = await opened.get("/health/live")
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
        assert answer.json() == {"status": "live"}
        with pytest.raises(OSError, match="cannot listen"):
            await serve(_app(health), settings)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(serving, 5)


async def test_methods_that_callers_make_up_are_counted_as_one(client: httpx.AsyncClient) -> None:
    for method in ("BREW", "STEEP"):
        assert (await client.request(method, "/health/live")).status_code == 405
    told = (await client.get("/metrics")).text
    assert 'method="other"' in told
    assert "BREW" not in told


async def test_whatever_can_be_read_has_a_head(client: httpx.AsyncClient) -> None:
    """As RFC 9110 has it: what a GET would be answered, without the body."""
    for path in ("/who", "/health/live", "/metrics", "/refused", "/problem", "/mistake", "/nowhere"):
        whole, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b"")
        named = {name for name in whole.headers if name not in {"x-request-id", "content-length"}}
        assert {name: head.headers[name] for name in named} == {name: whole.headers[name] for name in named}
        assert "content-length" in head.headers
        assert head.headers["x-request-id"]
    told = await client.head("/raw")
    assert (told.status_code, told.headers["allow"], told.content) == (405, "POST", b"")
    assert (await client.post("/who")).headers["allow"] == "GET, HEAD"
