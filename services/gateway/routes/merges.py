"""Merges: two accounts become one, and two again, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import MergeMember, UnmergeMember
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from services.gateway.documenting import described
from services.gateway.meaning import known_member
from services.gateway.naming import MERGE, UNMERGE, RequestKey, idempotency_id, new_id
from services.gateway.operating import KEYED, ask_for, found, show
from services.gateway.reading import (
    api_of,
    body_of,
    idempotency_key,
    in_program,
    optional_body_of,
    path_id,
    query_of,
)
from services.gateway.saying import merge_requested
from services.gateway.shown import MergeShown, PendingShown, UnmergeShown
from services.gateway.store import members
from services.gateway.store.operations import NewOperation

if TYPE_CHECKING:
    pass

router = APIRouter()

_TAG = "Members"
_MERGE = "/v1/programs/{program}/members/{member}/merge"
_UNMERGE = "/v1/programs/{program}/members/{member}/unmerge"


@router.post(
    **described(
        _TAG,
        "Join an account to another",
        path=_MERGE,
        answers={200: MergeShown, 201: MergeShown, 202: PendingShown},
        body=MergeMember,
        **KEYED,
    )
)
async def merge_member(request: Request) -> Response:
    """Not while points of it are held: 409 `hold_open`. The other one answers for it from then on."""
    caller, head = await in_program(request, "members")
    query_of(request)
    member = path_id(request, "member", "member_unknown")
    key = idempotency_id(idempotency_key(request))
    body: Any = await body_of(request, MergeMember)
    api = api_of(request)
    if not await api.known.member(head.program, member):
        raise Problem("member_unknown")
    by = RequestKey(head.program, MERGE, caller.partner, key)
    into = await known_member(api, head.program, body.into, by, at="/into")
    if into == member:
        raise Problem("invalid", errors=[Fault("/into", "not_allowed", "An account cannot be joined to itself")])
    return await _ask(request, NewOperation(head.program, MERGE, new_id("mg"), caller.partner, member, key), into, body)


@router.post(
    **described(
        _TAG,
        "Take a merge back",
        path=_UNMERGE,
        answers={200: UnmergeShown, 201: UnmergeShown, 202: PendingShown},
        body=UnmergeMember,
        **KEYED,
    )
)
async def unmerge_member(request: Request) -> Response:
    """What it brought comes back as far as it is not spent; what was earned meanwhile stays with the other."""
    caller, head = await in_program(request, "members")
    query_of(request)
    member = path_id(request, "member", "member_unknown")
    key = idempotency_id(idempotency_key(request))
    body: Any = await optional_body_of(request, UnmergeMember)
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await members.find(connection, head.program, member)
    if row is None:
        raise Problem("member_unknown")
    new = NewOperation(head.program, UNMERGE, new_id("mu"), caller.partner, member, key)
    return await _ask(request, new, row.merged_into or member, body)


@router.get(
    **described(_TAG, "Read a merge", path=f"{_MERGE}/{{merge}}", answers={200: MergeShown}, problems=(403, 422))
)
async def get_merge(request: Request) -> Response:
    return await _shown(request, MERGE)


@router.get(
    **described(
        _TAG, "Read how a merge was taken back", path=f"{_UNMERGE}/{{unmerge}}", answers={200: UnmergeShown},
        problems=(403, 422),
    )
)  # fmt: skip
async def get_unmerge(request: Request) -> Response:
    return await _shown(request, UNMERGE)


async def _ask(request: Request, new: NewOperation, into: str, body: Any) -> Response:  # noqa: ANN401  (a Struct)
    trace = traceparent(request)
    answered = await ask_for(
        request,
        new,
        # The same key for another member is another body.
        f"{new.member} {body_hash(body)}",
        lambda stamp: merge_requested(stamp, new.id, new.member, into, trace, undo=new.kind == UNMERGE),
        at=f"/v1/programs/{new.program}/members/{new.member}/{new.kind}",
        both=True,
    )
    api_of(request).known.forget_survivor(new.program, new.member)
    return answered


async def _shown(request: Request, kind: str) -> Response:
    _, api, row = await found(request, kind, "not_found", "read", "members")
    if row.member != path_id(request, "member", "member_unknown"):
        raise Problem("not_found")
    return await show(api, row)
