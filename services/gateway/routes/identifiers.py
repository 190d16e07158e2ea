"""Identifiers of members, such as cards: added, replaced, blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.http import AddIdentifier
from laurel.errors import Fault, Problem
from laurel.values import contains_nul
from services.gateway.documenting import described
from services.gateway.reading import api_of, body_of, in_program, path_id, query_of
from services.gateway.sealing import IDENTIFIER
from services.gateway.shown import IdentifierShown
from services.gateway.store import identifiers

if TYPE_CHECKING:
    from services.gateway.wiring import Api

router = APIRouter()

_TAG = "Members"
_PATH = "/v1/programs/{program}/members/{member}/identifiers"


@router.post(
    **described(
        _TAG,
        "Give a member an identifier",
        path=_PATH,
        answers={200: IdentifierShown, 201: IdentifierShown},
        problems=(400, 403, 409, 413, 415, 422),
        body=AddIdentifier,
    )
)
async def add_identifier(request: Request) -> Response:
    """What it `replaces` is blocked by the same deed. One that the member has already answers 200."""
    _, head = await in_program(request, "members")
    query_of(request)
    member = path_id(request, "member", "member_unknown")
    body: Any = await body_of(request, AddIdentifier)
    api = api_of(request)
    if not await api.known.member(head.program, member):
        raise Problem("member_unknown")
    if body.replaces == body.value:
        raise Problem("invalid", errors=[Fault("/replaces", "not_allowed", "It does not replace itself")])
    found = await _add(api, head.program, member, body)
    if found == "identifier_unknown":
        raise Problem("invalid", errors=[Fault("/replaces", "unknown", "The member has no such identifier")])
    if found not in {"added", "there"}:
        raise Problem(found)
    shown = {"member": member, "program": head.program, "scheme": body.scheme, "state": "active"}
    return Response(msgspec.json.encode(shown), 201 if found == "added" else 200, media_type="application/json")


@router.delete(
    **described(
        _TAG,
        "Block an identifier of a member",
        # A slash may be a part of it, as of anything that a member can be known by.
        path=f"{_PATH}/{{scheme}}/{{value:path}}",
        answers={204: None},
        problems=(403, 422),
    )
)
async def block_identifier(request: Request) -> Response:
    """For ever: it finds nobody any more, and no other member can have it. Again it changes nothing."""
    _, head = await in_program(request, "members")
    query_of(request)
    member = path_id(request, "member", "member_unknown")
    api = api_of(request)
    if not await api.known.member(head.program, member):
        raise Problem("member_unknown")
    scheme, value = request.path_params["scheme"], request.path_params["value"]
    if contains_nul(scheme) or contains_nul(value):
        raise Problem("identifier_unknown")
    hash_ = api.known.hash_of(head.program, scheme, value)
    async with api.database.transaction() as connection:
        is_theirs = await identifiers.block(connection, head.program, member, scheme, hash_, api.clock())
    if not is_theirs:
        raise Problem("identifier_unknown")
    return Response(status_code=204)


async def _add(api: Api, program: str, member: str, body: Any) -> identifiers.Added:  # noqa: ANN401  (a Struct)
    key = await api.sealing.key_of(program, member)
    if key is None:
        return "member_not_active"
    hash_ = api.known.hash_of(program, body.scheme, body.value)
    sealed = api.sealing.seal(key, program, member, (IDENTIFIER, body.scheme), body.value)
    replaces = None if body.replaces is None else api.known.hash_of(program, body.scheme, body.replaces)
    async with api.database.transaction() as connection:
        return await identifiers.add(
            connection, program, member, body.scheme, hash_, sealed=sealed, replaces=replaces, at=api.clock()
        )
