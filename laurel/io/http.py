"""The door: one FastAPI application per service, with problem documents, health, metrics and request ids."""

import asyncio
import json
import re
import secrets
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
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laurel.errors import Fault, Problem, Refused
from laurel.io.health import Health
from laurel.io.telemetry import HTTP_SECONDS, logger

log = logger(__name__)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
PROBLEM_TYPE = "application/problem+json"
REQUEST_ID = "x-request-id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_CODES_BY_STATUS = {400: "malformed", 404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported"}


class HttpSettings(Protocol):
    """What the door needs to know."""

    @property
    def http_host(self) -> str: ...
    @property
    def http_port(self) -> int: ...
    @property
    def http_body_bytes_max(self) -> int: ...


def service_app(
    title: str,
    settings: HttpSettings,
    lifespan: Lifespan | None,
    health: Health,
    **options: Any,  # noqa: ANN401 - they are FastAPI's own
) -> FastAPI:
    """Make a service's application. `options` go to FastAPI."""
    app = FastAPI(title=title, lifespan=lifespan, separate_input_output_schemas=False, **options)
    app.state.body_bytes_max = settings.http_body_bytes_max
    app.state.health = health
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_middleware(Door)
    _add_health(app, health)
    return app


async def serve(app: FastAPI, settings: HttpSettings) -> None:
    """Serve until cancelled; signals are the runner's business."""
    config = uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        loop="none",
        http="httptools",
        server_header=False,
        timeout_graceful_shutdown=5,
        lifespan="on",
    )
    server = _Server(config)
    # Bound here, since uvicorn leaves the process at once where an address is taken.
    listening = _listen(settings)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
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
        allowed = _methods_of(request)
        if allowed:
            response.headers["allow"] = ", ".join(sorted(allowed))
    return response


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
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        scope["state"]["traceparent"] = _traceparent(scope)
        started = time.perf_counter()
        status = 500
        begun = False

        async def send_with_id(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                begun = True
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID.encode(), request_id.encode())]
            await send(message)

        structlog.contextvars.bind_contextvars(request=request_id)
        try:
            await self._app(scope, _limited(scope, receive), send_with_id)
        except Exception as error:
            if begun:
                raise
            problem = (
                error if isinstance(error, Problem) else Problem("internal", "This was our mistake, and is logged.")
            )
            if not isinstance(error, Problem):
                # A path may hold what no log may, such as the code of a voucher; its template does not.
                path = getattr(scope.get("route"), "path", "unknown")
                log.exception("request failed", method=scope["method"], path=path)
            await problem_response(problem, scope["path"])(scope, receive, send_with_id)
        finally:
            structlog.contextvars.unbind_contextvars("request")
            route = getattr(scope.get("route"), "path", "unknown")
            _histogram(scope["method"], route, status).observe(time.perf_counter() - started)


@cache
def _labelled(method: str, route: str, status: int) -> Histogram:
    """Return the histogram of these labels. Looking it up anew took a twelfth of the time of a request."""
    return HTTP_SECONDS.labels(method, route, str(status))


def _histogram(method: str, route: str, status: int) -> Histogram:
    # A caller may name any method, and each would be kept for ever.
    return _labelled(method if method in _METHODS else "other", route, status)


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Count the body while it is read; a route that takes more sets `state.body_bytes_max` before it reads."""
    seen = 0
    state = scope["state"]

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
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


def _request_id(scope: Scope) -> str:
    given = _header(scope, REQUEST_ID.encode())
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)


def _traceparent(scope: Scope) -> str:
    given = _header(scope, b"traceparent")
    return given if _TRACEPARENT.fullmatch(given) else ""


def request_id(request: Request) -> str:
    """Return the id of the request: the caller's own if it gave a good one."""
    return str(request.state.request_id)


def traceparent(request: Request) -> str:
    """Return the trace context of the request, '' where it has none."""
    return str(request.state.traceparent)
