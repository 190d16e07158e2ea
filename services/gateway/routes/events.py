"""The stream of events."""

from __future__ import annotations

import re
from functools import partial

from fastapi import APIRouter, Request, Response

from laurel.errors import Fault, Problem
from services.gateway.documenting import described
from services.gateway.hearing import EVERYTHING, Wish, is_pattern
from services.gateway.reading import api_of, caller_of, query_of
from services.gateway.store import events as store
from services.gateway.streaming import MEDIA_TYPE, EventStream

router = APIRouter()

_POSITION = re.compile(r"[0-9]{1,18}")
_PATTERNS_MAX = 50


@router.get(
    **described(
        "Events",
        "Hear what happens",
        path="/v1/events/stream",
        answers={200: MEDIA_TYPE},
        problems=(403, 410, 422, 503),
        query={
            "types": "Names of types with commas between, such as `points.*,tier.changed`; all if left out",
            "program": "Only this program; all of the key's if left out",
            "member": "Only this member",
        },
        headers={"Last-Event-ID": "The `id` of the last event that was heard; without it from now on"},
    )
)
async def stream_events(request: Request) -> Response:
    """Server-sent events; the data of each is one CloudEvents JSON. 410 where what comes next is no longer kept."""
    caller = await caller_of(request)
    query = query_of(request, "types", "program", "member")
    program = query.get("program")
    api = api_of(request)
    if program is not None and (not caller.sees_program(program) or await api.known.program(program) is None):
        raise Problem("program_unknown")
    caller.require("read")
    wish = Wish(
        types_of(query.get("types", EVERYTHING).split(","), "/query/types"),
        frozenset((program,)) if program is not None else caller.programs,
        None if caller.is_admin else caller.partner,
        query.get("member"),
    )
    position = await _position(request)
    if not api.feed.has_room(api.settings.stream_listeners_max):
        raise Problem("overloaded", "Too many listen here.", retry_after_seconds=5)
    may_listen = partial(api.guard.is_good, request.headers.get("authorization"))
    return EventStream(api.feed, wish, position, may_listen, api.settings)


def types_of(named: list[str], pointer: str) -> list[str]:
    """Return names of types, each of which must name some that there are."""
    wrong = [place for place, name in enumerate(named) if not is_pattern(name)]
    if wrong or len(named) > _PATTERNS_MAX:
        at = pointer if pointer.startswith("/query") or not wrong else f"{pointer}/{wrong[0]}"
        fault = Fault(at, "unknown", "Types are named as `points.awarded`, `points.awarded.v1`, `points.*` or `*`")
        raise Problem("invalid", errors=[fault])
    return named


async def _position(request: Request) -> int:
    given = request.headers.get("last-event-id")
    if given is not None and _POSITION.fullmatch(given) is None:
        fault = Fault("/header/Last-Event-ID", "bad_format", "It is given back as it was received")
        raise Problem("invalid", errors=[fault])
    async with api_of(request).database.connection() as connection:
        head = await store.head(connection)
        if given is None:
            return head
        position = int(given)
        # One that was never given out comes of a database that was restored since: what it knew is gone.
        if position > head or position + 1 < await store.first(connection):
            raise Problem("events_gone")
    return position
