"""The gateway as a caller sees it, with the patience that a long replay needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from laurel.errors import LaurelError

_PATIENCE_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.2
_PAUSE_SECONDS_MAX = 5.0
_TIMEOUT_SECONDS = 60.0
_CONNECTIONS = 32


class GatewayError(LaurelError):
    """The gateway cannot be reached, or answered what the caller cannot go on from."""

    def __init__(self, detail: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


class Gateway:
    """Asks the gateway, over connections that are kept.

    A lost connection, 429 and 503 are tried again for a minute: everything sent through here is named by an
    id of its own, so that sending it twice is harmless.
    """

    def __init__(
        self,
        address: str,
        key: str,
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address = address
        self._patience_seconds = patience_seconds
        self._http = httpx.AsyncClient(
            base_url=address,
            headers={"authorization": f"Bearer {key}"},
            timeout=_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
            transport=transport,
            trust_env=False,
            # Where no TLS is spoken, reading the world's certificates is a tenth of a second for nothing.
            verify=address.startswith("https:"),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request and return its answer, whatever its status. A `Location` will do as the path."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            answer: httpx.Response | None = None
            try:
                answer = await self._http.request(method, path, content=body, headers=headers, params=params)
            except httpx.TransportError as error:
                if loop.time() + pause > until:
                    detail = f"The gateway at {self.address} does not answer ({_said(error)})"
                    raise GatewayError(detail) from error
            else:
                pause = _told_to_wait(answer) or pause
                if answer.status_code not in (429, 503) or loop.time() + pause > until:
                    return answer
            await asyncio.sleep(pause)
            pause = min(pause * 2, _PAUSE_SECONDS_MAX)

    async def get(self, path: str, **params: str) -> Any:  # noqa: ANN401 (JSON)
        """Return what a GET shows; anything but success is a `GatewayError`."""
        answer = await self.ask("GET", path, params=params)
        require(answer)
        return answer.json()

    async def send(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        media_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 (JSON)
        """Send a body and return what is answered; anything but success is a `GatewayError`."""
        answer = await self.ask(method, path, body=body, headers={"content-type": media_type, **(headers or {})})
        require(answer)
        return answer.json()


def require(answer: httpx.Response, *statuses: int) -> None:
    """Raise what a problem document says, unless the answer is a success or has one of the statuses."""
    if answer.is_success or answer.status_code in statuses:
        return
    code, detail = problem_of(answer)
    said = ": ".join(part for part in (code, detail) if part) or answer.reason_phrase
    request = answer.request
    raise GatewayError(
        f"{request.method} {request.url.path} was answered {answer.status_code} ({said})",
        status=answer.status_code,
        code=code,
    )


def problem_of(answer: httpx.Response) -> tuple[str, str]:
    """Return code and detail of a problem document, or empty words where the answer is none."""
    try:
        document = answer.json()
    except ValueError:
        return "", ""
    if not isinstance(document, dict):
        return "", ""
    return str(document.get("code", "")), str(document.get("detail", ""))


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """Run tasks that fail as one: the first reason is raised by itself, as if there had been one task."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


def _told_to_wait(answer: httpx.Response) -> float:
    try:
        return float(answer.headers.get("retry-after", "0"))
    except ValueError:
        return 0.0


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
