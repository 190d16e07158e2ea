"""Members are forgotten: the ledger stays whole, the person goes."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from laurel.contracts.http import EraseMember
from laurel.errors import Problem
from laurel.io.http import traceparent
from services.gateway.documenting import PREFER, described
from services.gateway.naming import MEMBER_ERASE, RequestKey, new_id
from services.gateway.reading import api_of, optional_body_of
from services.gateway.routes.changes import asked_of_member, settle_member
from services.gateway.saying import member_erase_requested
from services.gateway.shown import MemberShown, PendingShown
from services.gateway.store import people
from services.gateway.store.requests import NewRequest

router = APIRouter()

_ANSWERS: dict[int, Any] = {200: MemberShown, 202: PendingShown}


@router.post(
    **described(
        "Members",
        "Forget who a member is",
        path="/v1/programs/{program}/members/{member}/erase",
        answers=_ANSWERS,
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=EraseMember,
        headers=PREFER,
    )
)
async def erase_member(request: Request) -> Response:
    """For ever: identifiers, notes and attributes are gone, in all accounts that became a part of the member's.

    Its points stay in the ledger and come to their own end. Its identifiers may become somebody else's, but for those
    that were blocked. While points are held, 409 `hold_open`. Again it changes nothing.
    """
    _, head, named = await asked_of_member(request)
    await optional_body_of(request, EraseMember)
    api = api_of(request)
    member = await api.known.survivor(head.program, named)
    if member is None:
        raise Problem("member_unknown")
    async with api.database.connection() as connection:
        accounts = await people.accounts(connection, head.program, member)
    trace = traceparent(request)
    return await settle_member(
        request,
        head,
        member,
        NewRequest(RequestKey(head.program, MEMBER_ERASE, "", member), "", member),
        lambda stamp: member_erase_requested(stamp, new_id("x"), member, accounts, trace),
    )
