"""Questions that only another service can answer are passed on to it, with a deadline."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

import httpx
from starlette.responses import Response, StreamingResponse

from laurel.errors import Problem
from laurel.io.telemetry import logger

log = logger(__name__)

_RETRY_SECONDS: Final = 1
_CONNECTIONS_MAX: Final = 32


class Owner:
    """Another service as far as it answers questions."""

    def __init__(
        self,
        name: str,
        base_url: str,
        seconds: float,
        *,
        token: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`token`: what the owner wants to be shown, where it wants anything."""
        self._name = name
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(seconds),
            limits=httpx.Limits(
                max_connections=_CONNECTIONS_MAX, max_keepalive_connections=_CONNECTIONS_MAX, keepalive_expiry=30
            ),
            transport=transport,
            trust_env=False,
            # Where no TLS is spoken, reading the world's certificates is a tenth of a second at the start for nothing.
            verify=base_url.startswith("https:"),
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        request_id: str = "",
    ) -> Response:
        """Return the owner's answer as it is; 503 when it does not come in time."""
        headers = {"x-request-id": request_id} if request_id else {}
        if body is not None:
            headers["content-type"] = "application/json"
        with self._told():
            answer = await self._http.request(method, path, params=params, content=body, headers=headers)
        self._refuse_errors(answer, path)
        return Response(
            answer.content,
            status_code=answer.status_code,
            media_type=answer.headers.get("content-type", "application/json"),
        )

    async def stream(self, path: str, *, params: Mapping[str, str], request_id: str = "") -> Response:
        """Hand on an answer of any length as it comes, the deadline being that of each part. It may break off."""
        asked = self._http.build_request("GET", path, params=params, headers={"x-request-id": request_id})
        with self._told():
            answer = await self._http.send(asked, stream=True)
        try:
            self._refuse_errors(answer, path)
        except Problem:
            await answer.aclose()
            raise
        return StreamingResponse(
            _parts(answer), status_code=answer.status_code, media_type=answer.headers["content-type"]
        )

    async def lines(self, path: str, *, params: Mapping[str, str | Sequence[str]]) -> AsyncGenerator[bytes, None]:
        """Yield the lines of an answer of any length; raises a problem where it does not come, or breaks off."""
        asked = self._http.build_request("GET", path, params=params)
        with self._told():
            answer = await self._http.send(asked, stream=True)
            try:
                if answer.status_code == 503:
                    raise Problem("overloaded", f"{self._name} is busy.", retry_after_seconds=_RETRY_SECONDS)
                self._refuse_errors(answer, path)
                if answer.status_code != 200:
                    raise Problem("unavailable", f"{self._name} answered with {answer.status_code}.")
                rest = b""
                async for part in answer.aiter_raw():
                    *lines, rest = (rest + part).split(b"\n")
                    for line in lines:
                        yield line
            finally:
                await answer.aclose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise Problem(
                "overloaded", f"{self._name} took too long to answer.", retry_after_seconds=_RETRY_SECONDS
            ) from error
        except httpx.TransportError as error:
            log.warning("a question could not be passed on", to=self._name, error=repr(error))
            raise Problem(
                "unavailable", f"{self._name} cannot be reached.", retry_after_seconds=_RETRY_SECONDS
            ) from error

    def _refuse_errors(self, answer: httpx.Response, path: str) -> None:
        if answer.status_code >= 500:
            log.error("a question was answered by an error", to=self._name, status=answer.status_code, path=path)
            raise Problem("unavailable", f"{self._name} could not answer.", retry_after_seconds=_RETRY_SECONDS)


async def _parts(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        await answer.aclose()


def path_of(*parts: str) -> str:
    """Return a path whose parts are quoted, so that no part can become two."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
