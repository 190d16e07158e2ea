"""The door: one FastAPI application per service, with problem documents, health, metrics and request ids."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import cache
from typing import Any, Protocol

import structlog
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.routing import Match, compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laurel.errors import Fault, Problem, Refused
from laurel.io.bounding import Bounds, BoundSettings, bounded
from laurel.io.database import NoConnectionError, is_away
from laurel.io.health import Health
from laurel.io.request_ids import REQUEST_ID, id_of
from laurel.io.telemetry import HTTP_SECONDS, logger

log = logger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
PROBLEM_TYPE = "application/problem+json"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_GRACE_SECONDS = 8
_ALWAYS = frozenset({"/health/live", "/health/ready", "/metrics"})
"""What is answered however much is in hand."""
_SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NO_CONTENT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_NO_STORE = (b"cache-control", b"no-store")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_CODES_BY_STATUS = {400: "malformed", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported"}


class HttpSettings(BoundSettings, Protocol):
    """What the door needs to know."""

    @property
    def http_host(self) -> str: ...
    @property
    def http_port(self) -> int: ...
    @property
    def http_body_bytes_max(self) -> int: ...
    @property
    def http_keep_alive_seconds(self) -> int: ...


def service_app(
    title: str,
    settings: HttpSettings,
    lifespan: Lifespan | None,
    health: Health,
    **options: Any,  # noqa: ANN401 - they are FastAPI's own
) -> FastAPI:
    """Make a service's application. `options` go to FastAPI."""
    # A path with a slash behind it is another one: where it would be sent on to is told by the caller's own `Host`, and
    # behind a door that ends TLS it would be an address without.
    app = FastAPI(
        title=title, lifespan=lifespan, separate_input_output_schemas=False, redirect_slashes=False, **options
    )
    app.state.body_bytes_max = settings.http_body_bytes_max
    app.state.bounds = Bounds.of(settings)
    app.state.health = health
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_middleware(Door)
    _add_health(app, health)
    return app


async def serve(app: FastAPI, settings: HttpSettings, *, on_stop: Callable[[], None] = lambda: None) -> None:
    """Serve until cancelled, then finish what is in hand; signals are the runner's business.

    `on_stop` is called before that: whoever waits for something may be told not to wait for long.
    """
    config = uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        loop="none",
        http=bounded(settings),
        server_header=False,
        timeout_keep_alive=settings.http_keep_alive_seconds,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        lifespan="on",
    )
    server = _Server(config)
    # Bound here, since uvicorn leaves the process at once where an address is taken.
    listening = _listen(settings)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        on_stop()
        server.should_exit = True
        await asyncio.wait({serving}, timeout=10)
        raise
    finally:
        listening.close()


def _listen(settings: HttpSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    try:
        return socket.create_server((settings.http_host, settings.http_port), family=family, backlog=2048)
    except OSError as error:
        raise OSError(f"cannot listen on {settings.http_host}:{settings.http_port}: {error.strerror}") from error


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the runner, which stops everything in order."""
        yield


def problem_response(problem: Problem, instance: str = "") -> Response:
    """Answer with a problem document."""
    return Response(
        json.dumps(problem.document(instance), separators=(",", ":"), default=str),
        status_code=problem.status,
        headers=problem.headers(),
        media_type=PROBLEM_TYPE,
    )


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error, request.url.path)


async def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem_response(error.problem(), request.url.path)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Problem):
        # FastAPI tells whatever stops it from reading a body in its own words; ours are better.
        return problem_response(error.__cause__, request.url.path)
    if error.status_code < 400:
        return Response(status_code=error.status_code, headers=error.headers)
    code = _CODES_BY_STATUS.get(error.status_code, "internal" if error.status_code >= 500 else "malformed")
    detail = error.detail if code not in {"not_found", "method_not_allowed"} else ""
    response = problem_response(Problem(code, str(detail)), request.url.path)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    if error.status_code == 405:
        allowed = _methods_of(request) or set(re.findall(r"\w+", response.headers.get("allow", "")))
        response.headers["allow"] = ", ".join(sorted(allowed | {"HEAD"} if "GET" in allowed else allowed))
    return response


def _has_head(scope: Scope) -> bool:
    """Say whether a route answers HEAD itself; wherever else something can be read, a GET does."""
    return any(route.matches(scope)[0] is Match.FULL for route in scope["app"].routes)


def know_methods(app: FastAPI, methods: Mapping[str, Iterable[str]]) -> None:
    """Let 405 name all methods of a path; the routes alone would name those of the first one that fits."""
    # Of two templates that fit, the one with fewer names is meant.
    paths = sorted(methods, key=lambda path: path.count("{"))
    app.state.methods = [(compile_path(path)[0], frozenset(methods[path])) for path in paths]


def _methods_of(request: Request) -> frozenset[str]:
    for regex, methods in getattr(request.app.state, "methods", ()):
        if regex.match(request.url.path):
            found: frozenset[str] = methods
            return found
    return frozenset()


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(problem_of(error.errors()), request.url.path)


def problem_of(errors: Iterable[Mapping[str, Any]]) -> Problem:
    """Tell Pydantic's errors as one problem with a pointer for each."""
    faults: list[Fault] = []
    for error in errors:
        if error["type"] == "json_invalid":
            return Problem("malformed", "The body is not JSON: " + str(error.get("ctx", {}).get("error", "")))
        faults.append(fault_of(error))
    return Problem("invalid", errors=faults)


_PLACES = frozenset({"body", "query", "path", "header", "cookie"})


def fault_of(error: Mapping[str, Any]) -> Fault:
    """Tell one of Pydantic's errors with a JSON Pointer into the body, or into the named part of the request."""
    place = list(error["loc"])
    start = ""
    if place and place[0] in _PLACES:
        part = place.pop(0)
        start = "" if part == "body" else f"/{part}"
    pointer = start + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)
    return Fault(pointer, str(error["type"]), str(error["msg"]))


def _add_health(app: FastAPI, health: Health) -> None:
    @app.get("/health/live", include_in_schema=False)
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready", include_in_schema=False)
    async def ready() -> JSONResponse:
        return JSONResponse(health.report(), status_code=200 if health.is_ready else 503)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class Door:
    """What every request passes: an id, a limit to its body, its time, and an answer even to our own mistakes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = id_of(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id
        scope["state"]["traceparent"] = _traceparent(scope)
        asked = scope["method"]
        if asked == "HEAD" and not _has_head(scope):
            # The server looks at its own scope, and sends what belongs to a HEAD.
            scope = {**scope, "method": "GET"}
        started = time.perf_counter()
        bounds: Bounds = scope["app"].state.bounds
        visit = _Visit(scope, bounds, request_id, send, is_head=asked == "HEAD")
        structlog.contextvars.bind_contextvars(request=request_id)
        try:
            async with visit.time_limit:
                visit.enter()
                await self._app(scope, _limited(scope, receive, bounds.body_seconds), visit.send)
        except Exception as error:
            if visit.begun:
                raise
            await problem_response(_problem_of(error, scope, visit), scope["path"])(scope, receive, visit.send)
        finally:
            visit.leave()
            structlog.contextvars.unbind_contextvars("request")
            route = getattr(scope.get("route"), "path", "unknown")
            _histogram(asked, route, visit.status).observe(time.perf_counter() - started)


class _Visit:
    """A request on its way through the door."""

    __slots__ = ("_bounds", "_is_head", "_is_inside", "_request_id", "_scope", "_send", "begun", "status", "time_limit")

    def __init__(self, scope: Scope, bounds: Bounds, request_id: str, send: Send, *, is_head: bool) -> None:
        self._scope = scope
        self._is_head = is_head
        self._bounds = bounds
        self._request_id = request_id.encode()
        self._send = send
        self._is_inside = False
        self.begun = False
        self.status = 500
        self.time_limit = scope["state"]["time_limit"] = asyncio.timeout(bounds.request_seconds)

    def enter(self) -> None:
        """Count it; 503 if as many as may be are in hand already."""
        if self._scope["path"] in _ALWAYS:
            return
        if self._bounds.is_full:
            raise Problem("overloaded", retry_after_seconds=1)
        self._bounds.in_hand += 1
        self._is_inside = True

    def leave(self) -> None:
        if self._is_inside:
            self._bounds.in_hand -= 1
            self._is_inside = False

    async def send(self, message: Message) -> None:
        """Send on, with what every answer has. A stream has no end that one could wait for."""
        if message["type"] == "http.response.start":
            self.begun = True
            self.status = message["status"]
            message["headers"] = self._headers(message["headers"])
        elif self._is_head:
            return
        await self._send(message)
        if self._is_head:
            # It ends here; whoever makes a body that has no end is told that the caller has left.
            await self._send({"type": "http.response.body", "body": b""})

    def _headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        found = [*headers, (REQUEST_ID, self._request_id), *_SAFE_HEADERS]
        found += self._scope["state"].get("answer_headers", ())
        names = {name for name, _ in found}
        if b"cache-control" not in names:
            found.append(_NO_STORE)
        if _NO_CONTENT_POLICY[0] not in names:
            # A page says itself what it may load.
            found.append(_NO_CONTENT_POLICY)
        if b"content-length" not in names and self.status not in {204, 304}:
            self.time_limit.reschedule(None)
            self.leave()
        return found


def _problem_of(error: Exception, scope: Scope, visit: _Visit) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, TimeoutError) and visit.time_limit.expired():
        return Problem("unavailable", "This took too long; ask again.", retry_after_seconds=1)
    # A path may hold what no log may, such as the code of a voucher; its template does not.
    path = getattr(scope.get("route"), "path", "unknown")
    if is_away(error):
        log.warning("request found no database", method=scope["method"], path=path, error=type(error).__name__)
        if isinstance(error, NoConnectionError):
            return Problem("unavailable", "The database is busy; ask again.", retry_after_seconds=1)
        return Problem("unavailable", "The database is away; ask again.", retry_after_seconds=1)
    log.error("request failed", method=scope["method"], path=path, exc_info=error)
    return Problem("internal", "This was our mistake, and is logged.")


def unhurried(request: Request) -> None:
    """Let this request take its time, and its body too: its route has limits of its own."""
    request.state.body_is_unhurried = True
    request.state.time_limit.reschedule(None)


@cache
def _labelled(method: str, route: str, status: int) -> Histogram:
    """Return the histogram of these labels. Looking it up anew took a twelfth of the time of a request."""
    return HTTP_SECONDS.labels(method, route, str(status))


def _histogram(method: str, route: str, status: int) -> Histogram:
    # A caller may name any method, and each would be kept for ever.
    return _labelled(method if method in _METHODS else "other", route, status)


def _limited(scope: Scope, receive: Receive, seconds: float) -> Receive:
    """Count the body while it is read, and its time; a route that takes more sets `state.body_bytes_max` before."""
    seen = 0
    is_whole = False
    state = scope["state"]
    until = asyncio.get_running_loop().time() + seconds

    async def counted() -> Message:
        nonlocal seen, is_whole
        if is_whole or state.get("body_is_unhurried"):
            message = await receive()
        else:
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise Problem("too_slow", f"The body took longer than {seconds:g} seconds.") from None
        if message["type"] == "http.request":
            is_whole = not message.get("more_body", False)
            seen += len(message.get("body", b""))
            limit = state.get("body_bytes_max") or scope["app"].state.body_bytes_max
            if seen > limit:
                raise Problem("too_large", f"The body is larger than {limit} bytes.")
        return message

    return counted


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return ""


def _traceparent(scope: Scope) -> str:
    given = _header(scope, b"traceparent")
    return given if _TRACEPARENT.fullmatch(given) else ""


def request_id(request: Request) -> str:
    """Return the id of the request: the caller's own if it gave a good one."""
    return str(request.state.request_id)


def traceparent(request: Request) -> str:
    """Return the trace context of the request, '' where it has none."""
    return str(request.state.traceparent)
