"""Members change, or take part no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import ChangeMember, CloseMember
from laurel.errors import Problem
from laurel.io.http import traceparent
from services.gateway.asking import Ask, Stamp
from services.gateway.documenting import PREFER, described
from services.gateway.naming import MEMBER_CHANGE, MEMBER_CLOSE, RequestKey, idempotency_id, new_id
from services.gateway.reading import (
    api_of,
    body_of,
    given_key,
    in_program,
    optional_body_of,
    path_id,
    query_of,
    wish_of,
)
from services.gateway.routes.members import answer_with_member, show_member
from services.gateway.saying import member_change_requested, member_close_requested
from services.gateway.shown import MemberShown, PendingShown
from services.gateway.store import people
from services.gateway.store.requests import POSTED, NewRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from laurel.io.saying import Saying
    from services.gateway.store.programs import ProgramHead

router = APIRouter()

_TAG = "Members"
_PATH = "/v1/programs/{program}/members/{member}"
_KEY = {"Idempotency-Key": "A quoted string; with it, the same request again is the same change"}
_ANSWERS: dict[int, Any] = {200: MemberShown, 202: PendingShown}
_PROBLEMS = (400, 403, 409, 413, 415, 422, 503)


@router.patch(
    **described(
        _TAG,
        "Change a member",
        path=_PATH,
        answers=_ANSWERS,
        problems=_PROBLEMS,
        body=ChangeMember,
        headers={**_KEY, **PREFER},
    )
)
async def change_member(request: Request) -> Response:
    """Attributes that are not named stay as they are. What was judged before stays as it was judged."""
    caller, head, member = await asked_of_member(request)
    given = given_key(request)
    body: Any = await body_of(request, ChangeMember)
    if body.person is None and not body.attributes:
        return Response(await show_member(api_of(request), head, member), media_type="application/json")
    async with api_of(request).database.connection() as connection:
        if await people.is_erased(connection, head.program, member):
            # What is said of nobody must not even be asked.
            raise Problem("member_not_active")
    change = new_id("c") if given is None else f"c-{idempotency_id(given)[:32]}"
    trace = traceparent(request)
    # The same key for another member is another body.
    return await settle_member(
        request,
        head,
        member,
        NewRequest(RequestKey(head.program, MEMBER_CHANGE, caller, change), f"{member} {body_hash(body)}", member),
        lambda stamp: member_change_requested(stamp, change, member, body, trace),
    )


@router.post(
    **described(
        _TAG,
        "Close a member",
        path=f"{_PATH}/close",
        answers=_ANSWERS,
        problems=_PROBLEMS,
        body=CloseMember,
        headers=PREFER,
    )
)
async def close_member(request: Request) -> Response:
    """It earns nothing any more; what it has comes to its own end. While points are held, 409 `hold_open`."""
    _, head, member = await asked_of_member(request)
    await optional_body_of(request, CloseMember)
    trace = traceparent(request)
    return await settle_member(
        request,
        head,
        member,
        NewRequest(RequestKey(head.program, MEMBER_CLOSE, "", member), "", member),
        lambda stamp: member_close_requested(stamp, new_id("c"), member, trace),
    )


async def asked_of_member(request: Request) -> tuple[str, ProgramHead, str]:
    """Return whose key it is, the program, and the member, who is there."""
    caller, head = await in_program(request, "members")
    query_of(request)
    member = path_id(request, "member", "member_unknown")
    if not await api_of(request).known.member(head.program, member):
        raise Problem("member_unknown")
    return caller.partner, head, member


async def settle_member(
    request: Request, head: ProgramHead, member: str, new: NewRequest, say: Callable[[Stamp], Saying]
) -> Response:
    """Ask for a change of a member, and answer with how it stands then."""
    api, wish = api_of(request), wish_of(request)
    settled = await api.settler.settle(Ask(new, say, waits=wish.wait_seconds > 0), wish)
    if settled.state == POSTED:
        settled = settled.shown_as(await show_member(api, head, member))
    return answer_with_member(request, settled, wish, head.program, member, success=200)
