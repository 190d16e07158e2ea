"""Operations on wallets, such as holds and transfers: asked for, found again and shown alike, whatever their kind.

An operation is known by an id that we give it and by the `Idempotency-Key` of the request that asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import Request, Response

from laurel.errors import Problem
from services.gateway.answering import JSON, answer
from services.gateway.asking import Ask
from services.gateway.documenting import PREFER
from services.gateway.naming import RequestKey
from services.gateway.reading import api_of, in_program, path_id, query_of, wish_of
from services.gateway.sealing import NOTE
from services.gateway.showing import settle_both
from services.gateway.store import operations, requests
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from laurel.io.saying import Saying
    from services.gateway.asking import Stamp
    from services.gateway.guarding import Caller
    from services.gateway.store.audit import AuditRow
    from services.gateway.store.operations import NewOperation, OperationRow
    from services.gateway.wiring import Api

KEY: Final = {"Idempotency-Key": 'A quoted string, such as `"8e03978e-40d5"`; kept for ever'}
PROBLEMS: Final = (400, 403, 409, 413, 415, 422, 503)
KEYED: Final[dict[str, Any]] = {
    "problems": PROBLEMS,
    "headers": {**KEY, **PREFER},
    "required_headers": ("Idempotency-Key",),
}
"""How routes that ask for an operation are described."""


async def ask_for(
    request: Request,
    new: NewOperation,
    hash_: str,
    say: Callable[[Stamp], Saying],
    *,
    at: str,
    both: bool = False,
    into: str | None = None,
    change: AuditRow | None = None,
) -> Response:
    """Ask for an operation and answer as the caller wishes; the same request again is the operation that it was first.

    `at` is where operations of its kind are found. With `both` it moves two members, and is answered when reads show
    both; `into` is another program that it moves.
    """
    api, wish = api_of(request), wish_of(request)
    ask = Ask(
        NewRequest(RequestKey(new.program, new.kind, new.partner, new.request), hash_, new.member, new.id),
        say,
        waits=wish.wait_seconds > 0,
        operation=new,
        into=into,
        change=change,
    )
    settled = await (settle_both(api, ask, wish) if both else api.settler.settle(ask, wish))
    before = settled.recorded.before
    name = before.subject if before is not None and before.subject is not None else new.id
    return answer(settled, wish, location=f"{at}/{name}", pending={new.kind: name}, instance=request.url.path)


async def found(request: Request, kind: str, unknown: str, *scopes: str) -> tuple[Caller, Api, OperationRow]:
    """Return the operation of the path; another partner's answers as `unknown` does, but to an admin."""
    caller, head = await in_program(request, *scopes)
    query_of(request)
    name = path_id(request, kind, unknown)
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await operations.find(connection, head.program, kind, name)
    if row is None or (row.partner != caller.partner and not caller.is_admin):
        raise Problem(unknown)
    return caller, api, row


async def ask_of(
    request: Request,
    api: Api,
    row: OperationRow,
    key: RequestKey,
    hash_: str,
    say: Callable[[Stamp], Saying],
    *,
    at: str,
    change: AuditRow | None = None,
) -> Response:
    """Ask something of an operation that is there, and answer with how it stands then."""
    wish = wish_of(request)
    request_of = NewRequest(key, hash_, row.member, subject=row.id)
    ask = Ask(request_of, say, waits=wish.wait_seconds > 0, change=change)
    return answer(
        await api.settler.settle(ask, wish),
        wish,
        location=f"{at}/{row.id}",
        pending={row.kind: row.id},
        instance=request.url.path,
        success=200,
    )


async def show(api: Api, row: OperationRow) -> Response:
    """Show how an operation stands; one that no event has told of is on its way, parked, or given up."""
    if row.body is not None:
        body, note = row.body, row.note
        if row.sealed_note is not None:
            note = api.sealing.open(row.key, row.program, row.member, (NOTE, row.id), row.sealed_note)
        if note is not None:
            body = msgspec.json.encode({**msgspec.json.decode(body), "note": note})
        return Response(body, media_type=JSON)
    async with api.database.connection() as connection:
        asked = await requests.find(connection, RequestKey(row.program, row.kind, row.partner, row.request))
    shown: dict[str, Any] = {"state": row.state, "member": row.member}
    if asked is not None and asked.outcome is not None:
        shown |= msgspec.json.decode(asked.outcome)
    elif asked is not None and asked.delayed:
        shown["delayed"] = True
    return Response(msgspec.json.encode({**shown, row.kind: row.id}), media_type=JSON)
