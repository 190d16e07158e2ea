"""Questions that only another service can answer are passed on to it, with a deadline."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote, urlencode

import aiohttp
from starlette.responses import Response, StreamingResponse
from yarl import URL

from laurel.errors import Problem
from laurel.io.telemetry import logger

log = logger(__name__)

_RETRY_SECONDS: Final = 1
_CONNECTIONS_MAX: Final = 32
_KEPT_ALIVE_SECONDS: Final = 4
"""Shorter than uvicorn keeps an idle connection (5 s), so that a question is never sent into one that closes."""


class Owner:
    """Another service as far as it answers questions."""

    def __init__(self, name: str, base_url: str, seconds: float, *, token: str | None = None) -> None:
        """`token`: what the owner wants to be shown, where it wants anything."""
        self._name = name
        self._base_url = base_url.rstrip("/")
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        # The deadline is that of each part, since an answer may be of any length.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=seconds, sock_read=seconds)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

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
            async with self._opened().request(method, self._url(path, params), data=body, headers=headers) as answer:
                content = await answer.read()
        self._refuse_errors(answer, path)
        return Response(
            content, status_code=answer.status, media_type=answer.headers.get("content-type", "application/json")
        )

    async def stream(self, path: str, *, params: Mapping[str, str], request_id: str = "") -> Response:
        """Hand on an answer of any length as it comes, the deadline being that of each part. It may break off."""
        with self._told():
            answer = await self._opened().get(self._url(path, params), headers={"x-request-id": request_id})
        try:
            self._refuse_errors(answer, path)
        except Problem:
            answer.close()
            raise
        return StreamingResponse(_parts(answer), status_code=answer.status, media_type=answer.headers["content-type"])

    async def lines(self, path: str, *, params: Mapping[str, str | Sequence[str]]) -> AsyncGenerator[bytes, None]:
        """Yield the lines of an answer of any length; raises a problem where it does not come, or breaks off."""
        with self._told():
            answer = await self._opened().get(self._url(path, params))
            try:
                if answer.status == 503:
                    raise Problem("overloaded", f"{self._name} is busy.", retry_after_seconds=_RETRY_SECONDS)
                self._refuse_errors(answer, path)
                if answer.status != 200:
                    raise Problem("unavailable", f"{self._name} answered with {answer.status}.")
                rest = b""
                async for part in answer.content.iter_any():
                    *lines, rest = (rest + part).split(b"\n")
                    for line in lines:
                        yield line
            finally:
                answer.close()

    def _opened(self) -> aiohttp.ClientSession:
        """A session belongs to the loop that runs, so it is opened by the first question."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS_MAX, keepalive_timeout=_KEPT_ALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent", "Accept-Encoding"),
                headers=self._headers,
                timeout=self._timeout,
            )
        return self._session

    def _url(self, path: str, params: Mapping[str, str | Sequence[str]] | None) -> URL:
        # Quoted already: quoted again, a name with a per cent sign would be another's.
        query = f"?{urlencode(params, doseq=True)}" if params else ""
        return URL(f"{self._base_url}{path}{query}", encoded=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise Problem(
                "overloaded", f"{self._name} took too long to answer.", retry_after_seconds=_RETRY_SECONDS
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            log.warning("a question could not be passed on", to=self._name, error=repr(error))
            raise Problem(
                "unavailable", f"{self._name} cannot be reached.", retry_after_seconds=_RETRY_SECONDS
            ) from error

    def _refuse_errors(self, answer: aiohttp.ClientResponse, path: str) -> None:
        if answer.status >= 500:
            log.error("a question was answered by an error", to=self._name, status=answer.status, path=path)
            raise Problem("unavailable", f"{self._name} could not answer.", retry_after_seconds=_RETRY_SECONDS)


async def _parts(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for part in answer.content.iter_any():
            yield part
    finally:
        answer.close()


def path_of(*parts: str) -> str:
    """Return a path whose parts are quoted, so that no part can become two."""
    return "/" + "/".join(quote(part, safe="") for part in parts)
