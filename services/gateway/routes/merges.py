"""Merges: two accounts become one, and two again, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import MergeMember, UnmergeMember
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PREFER, described
from services.gateway.naming import MERGE, UNMERGE, RequestKey, idempotency_id, new_id
from services.gateway.reading import (
    api_of,
    body_of,
    idempotency_key,
    in_program,
    optional_body_of,
    path_id,
    query_of,
    wish_of,
)
from services.gateway.routes.holds import KEY, known_member, show_operation
from services.gateway.saying import merge_requested
from services.gateway.showing import settle_both
from services.gateway.shown import MergeShown, PendingShown, UnmergeShown
from services.gateway.store import members, operations
from services.gateway.store.operations import NewOperation
from services.gateway.store.requests import NewRequest

if TYPE_CHECKING:
    from laurel.io.saying import Saying
    from services.gateway.store.programs import ProgramHead

router = APIRouter()

_TAG = "Members"
_MERGE = "/v1/programs/{program}/members/{member}/merge"
_UNMERGE = "/v1/programs/{program}/members/{member}/unmerge"
_PROBLEMS = (400, 403, 409, 413, 415, 422, 503)


@router.post(
    **described(
        _TAG,
        "Join an account to another",
        path=_MERGE,
        answers={200: MergeShown, 201: MergeShown, 202: PendingShown},
        problems=_PROBLEMS,
        body=MergeMember,
        headers={**KEY, **PREFER},
        required_headers=("Idempotency-Key",),
    )
)
async def merge_member(request: Request) -> Response:
    """Not while points of it are held: 409 `hold_open`. The other one answers for it from then on."""
    _, head = await in_program(request, "members")
    query_of(request)
    member = path_id(request, "member", "member_unknown")
    key = idempotency_id(idempotency_key(request))
    body: Any = await body_of(request, MergeMember)
    api = api_of(request)
    if not await api.known.member(head.program, member):
        raise Problem("member_unknown")
    into = await known_member(api, head.program, body.into)
    if into == member:
        raise Problem("invalid", errors=[Fault("/into", "not_allowed", "An account cannot be joined to itself")])
    return await _settle(request, head, MERGE, member, into, key, body_hash(body))


@router.post(
    **described(
        _TAG,
        "Take a merge back",
        path=_UNMERGE,
        answers={200: UnmergeShown, 201: UnmergeShown, 202: PendingShown},
        problems=_PROBLEMS,
        body=UnmergeMember,
        headers={**KEY, **PREFER},
        required_headers=("Idempotency-Key",),
    )
)
async def unmerge_member(request: Request) -> Response:
    """What it brought comes back as far as it is not spent; what was earned meanwhile stays with the other."""
    _, head = await in_program(request, "members")
    query_of(request)
    member = path_id(request, "member", "member_unknown")
    key = idempotency_id(idempotency_key(request))
    body: Any = await optional_body_of(request, UnmergeMember)
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await members.find(connection, head.program, member)
    if row is None:
        raise Problem("member_unknown")
    return await _settle(request, head, UNMERGE, member, row.merged_into or member, key, body_hash(body))


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


async def _settle(
    request: Request, head: ProgramHead, kind: str, member: str, into: str, key: str, hash_: str
) -> Response:
    caller, _ = await in_program(request, "members")
    wish = wish_of(request)
    api = api_of(request)
    name = new_id("mg" if kind == MERGE else "mu")
    trace = traceparent(request)

    def say(stamp: Stamp) -> Saying:
        return merge_requested(stamp, name, member, into, trace, undo=kind == UNMERGE)

    # The same key for another member is another body.
    ask = Ask(
        NewRequest(RequestKey(head.program, kind, caller.partner, key), f"{member} {hash_}", member, name),
        say,
        waits=wish.wait_seconds > 0,
        operation=NewOperation(head.program, kind, name, caller.partner, member, key),
    )
    settled = await settle_both(api, ask, wish)
    api.known.forget_survivor(head.program, member)
    before = settled.recorded.before
    if before is not None and before.subject is not None:
        name = before.subject
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{head.program}/members/{member}/{kind}/{name}",
        pending={kind: name},
        instance=request.url.path,
    )


async def _shown(request: Request, kind: str) -> Response:
    caller, head = await in_program(request, "read", "members")
    query_of(request)
    member = path_id(request, "member", "member_unknown")
    name = path_id(request, kind, "not_found")
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await operations.find(connection, head.program, kind, name)
    if row is None or row.member != member or (row.partner != caller.partner and not caller.is_admin):
        raise Problem("not_found")
    return await show_operation(api, row, kind)
