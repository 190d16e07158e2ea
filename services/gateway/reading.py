"""What every route reads of a request: its caller, its body, its headers, its place in a list."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, TypeVar

from laurel.contracts.reading import read
from laurel.errors import Fault, Problem
from laurel.values import ID_PATTERN, PLAIN_ID_PATTERN
from services.gateway.limiting import Limited
from services.gateway.preferring import Preference, preference

if TYPE_CHECKING:
    from pydantic import BaseModel
    from starlette.requests import Request

    from services.gateway.guarding import Caller
    from services.gateway.store.programs import ProgramHead
    from services.gateway.wiring import Api

M = TypeVar("M", bound="BaseModel")

_ID = re.compile(ID_PATTERN.removesuffix("$") + r"\Z")
_PLAIN_ID = re.compile(PLAIN_ID_PATTERN.removesuffix("$") + r"\Z")
_KEY = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')
_KEY_FORM = 'An Idempotency-Key is a quoted string of at most 255 characters, like "8e03978e".'
_LIMIT = re.compile(r"[1-9][0-9]{0,2}")
_JSON = "application/json"
_DEFAULT_LIMIT = 50
_LIMIT_MAX = 500


def api_of(request: Request) -> Api:
    """Return what the routes work with."""
    api: Api = request.app.state.api
    return api


async def caller_of(request: Request) -> Caller:
    """Return who is calling, or 401; 429 for whoever calls too often."""
    api = api_of(request)
    address = request.client.host if request.client is not None else ""
    try:
        caller = await api.guard.caller(request.headers.get("authorization"))
    except Problem:
        api.limiter.failed(address)
        raise
    route = f"{request.method} {getattr(request.scope.get('route'), 'path', '')}"
    try:
        request.state.answer_headers = api.limiter.take(caller, route)
    except Limited as limited:
        request.state.answer_headers = limited.limit_headers
        raise
    return caller


async def in_program(request: Request, *scopes: str) -> tuple[Caller, ProgramHead]:
    """Return the caller and the program of the path.

    A program that is not the caller's answers 404 like one that is not there; a missing scope in its own is 403.
    """
    caller = await caller_of(request)
    program = request.path_params["program"]
    if _PLAIN_ID.match(program) is None or not caller.sees_program(program):
        raise Problem("program_unknown")
    head = await api_of(request).known.program(program)
    if head is None:
        raise Problem("program_unknown")
    if scopes:
        caller.require(*scopes)
    return caller, head


def media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_media(request: Request, *types: str) -> str:
    """Return the body's media type, or 415."""
    found = media_type(request)
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", request.headers.get("content-type", ""), re.IGNORECASE)
    if found not in types:
        raise Problem("unsupported", f"Send {' or '.join(types)}.")
    if charset is not None and charset[1].lower().replace("-", "") not in {"utf8", "usascii"}:
        raise Problem("unsupported", "Bodies are UTF-8.")
    return found


async def body_of(request: Request, model: type[M]) -> M:
    """Return the Struct of a JSON body; 413, 415, 400 and 422 are told as the contract says."""
    return read(model, await json_of(request))


async def optional_body_of(request: Request, model: type[M]) -> M:
    """Return the Struct of a JSON body; nothing at all stands for an empty object."""
    if "content-type" not in request.headers and not await request.body():
        return read(model, b"{}")
    return await body_of(request, model)


async def json_of(request: Request) -> bytes:
    """Return the bytes of a JSON body."""
    require_media(request, _JSON)
    require_plain(request)
    return await request.body()


def require_plain(request: Request) -> None:
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise Problem("unsupported", "Only files may be packed.")


def wish_of(request: Request) -> Preference:
    """Return how long the caller wants to wait."""
    settings = api_of(request).settings
    return preference(
        ", ".join(request.headers.getlist("prefer")),
        default_seconds=settings.wait_seconds,
        max_seconds=settings.wait_seconds_max,
    )


def idempotency_key(request: Request) -> str:
    """Return the `Idempotency-Key`, which is a quoted string; 400 where it is missing or is none."""
    given = request.headers.get("idempotency-key")
    if given is None:
        fault = Fault("/header/Idempotency-Key", "missing", _KEY_FORM)
        raise Problem("idempotency_key_missing", _KEY_FORM, errors=[fault])
    found = _KEY.fullmatch(given.strip())
    if found is None:
        fault = Fault("/header/Idempotency-Key", "bad_format", _KEY_FORM)
        raise Problem("malformed", _KEY_FORM, errors=[fault])
    return found[1].replace('\\"', '"').replace("\\\\", "\\")


def given_key(request: Request) -> str | None:
    """Return the `Idempotency-Key` of a request that needs none, if it has one."""
    return idempotency_key(request) if "idempotency-key" in request.headers else None


def path_id(request: Request, name: str, code: str) -> str:
    """Return an id of the path; what cannot be an id answers like what is not there."""
    value: str = request.path_params[name]
    if _ID.match(value) is None:
        raise Problem(code)
    return value


def path_name(request: Request, name: str, *, is_plain: bool = True) -> str:
    """Return the id that a PUT makes something under; a plain one, of a program or partner, has no colon."""
    value: str = request.path_params[name]
    if (_PLAIN_ID if is_plain else _ID).match(value) is None:
        fault = Fault(f"/path/{name}", "bad_format", "This cannot be an id")
        raise Problem("invalid", errors=[fault])
    return value


def query_of(request: Request, *names: str) -> dict[str, str]:
    """Return the query parameters; one that the route does not know is refused like a field it does not know."""
    faults = [
        Fault(f"/query/{name}", "unknown_field", "There is no such parameter")
        for name in request.query_params
        if name not in names
    ]
    repeated = [name for name in names if len(request.query_params.getlist(name)) > 1]
    faults += [Fault(f"/query/{name}", "repeated", "This parameter is there twice") for name in repeated]
    faults += [
        Fault(f"/query/{name}", "bad_format", "Text must not contain U+0000")
        for name in names
        if "\x00" in request.query_params.get(name, "")
    ]
    if faults:
        raise Problem("invalid", errors=faults)
    return dict(request.query_params)


def limit_of(query: dict[str, str]) -> int:
    """Return how many rows of a list are wanted: 1 to 500, else 422."""
    given = query.get("limit")
    if given is None:
        return _DEFAULT_LIMIT
    if _LIMIT.fullmatch(given) is None or int(given) > _LIMIT_MAX:
        raise Problem("invalid", errors=[Fault("/query/limit", "out_of_range", "A limit is 1 to 500")])
    return int(given)


def cursor_of(query: dict[str, str]) -> str:
    """Return where a list goes on, '' at its beginning."""
    given = query.get("cursor")
    if given is None:
        return ""
    try:
        text = base64.b64decode(given.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        text = "\x00"
    if "\x00" in text:
        fault = Fault("/query/cursor", "bad_format", "A cursor is given back as it was received")
        raise Problem("invalid", errors=[fault])
    return text


def page(data: list[Any], limit: int, cursor: object) -> dict[str, Any]:
    """Return a list as the contract shows it; a page that is not full is the last."""
    following = base64.urlsafe_b64encode(str(cursor).encode()).decode() if len(data) == limit else None
    return {"data": data, "next_cursor": following}


def partner_in_query(query: dict[str, str], caller: Caller) -> str:
    """Return whose thing is asked for: the caller's own, or with `admin` any partner's."""
    named = query.get("partner", caller.partner)
    if named != caller.partner and not caller.is_admin:
        raise Problem("partner_unknown")
    return named
