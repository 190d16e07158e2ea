"""What is held about a member, wherever it lies, as one document to hand out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.errors import Problem
from laurel.io.http import request_id
from services.gateway.documenting import described
from services.gateway.passing import Owner, path_of
from services.gateway.reading import api_of, in_program, path_id, query_of
from services.gateway.routes.members import show_member
from services.gateway.sealing import IDENTIFIER, NOTE
from services.gateway.shown import ExtractShown
from services.gateway.store import people

if TYPE_CHECKING:
    from services.gateway.store.people import IdentifierRow, OperationRow
    from services.gateway.wiring import Api

router = APIRouter()

_PAGE: Final = 500


@router.get(
    **described(
        "Members",
        "Read all that is held about a member",
        path="/v1/programs/{program}/members/{member}/export",
        answers={200: ExtractShown},
        problems=(403, 422, 503),
    )
)
async def export_member(request: Request) -> Response:
    """With the accounts that became a part of the member's. A key without `admin` is shown what its partner did."""
    caller, head = await in_program(request, "members", "admin")
    query_of(request)
    api = api_of(request)
    member = await api.known.survivor(head.program, path_id(request, "member", "member_unknown"))
    if member is None:
        raise Problem("member_unknown")
    partner = None if caller.is_admin else caller.partner
    profile = msgspec.json.decode(await show_member(api, head, member))
    async with api.database.connection() as connection:
        accounts = [member, *await people.accounts(connection, head.program, member)]
        keys = {each: await people.find_key(connection, head.program, each) for each in accounts}
        identifiers = await people.identifiers(connection, head.program, accounts)
        operations = await people.operations(connection, head.program, accounts, partner)
    found: dict[str, Any] = {
        "member": member,
        "program": head.program,
        "at": api.clock(),
        "accounts": accounts[1:],
        "profile": profile,
        "identifiers": [_identifier(api, head.program, keys, each) for each in identifiers],
        "operations": [_operation(api, head.program, keys, each) for each in operations],
    }
    params = {} if partner is None else {"partner": partner}
    for what in ("statement", "lots", "decisions"):
        found[what] = [
            {**row, "account": account}
            for account in accounts
            for row in await _all_of(
                request, api.points, path_of("v1", "programs", head.program, "members", account, what), params
            )
        ]
    sees_codes = "redeem" in caller.scopes
    listed = path_of("v1", "programs", head.program, "vouchers", "list")
    found["vouchers"] = [
        voucher if sees_codes else {**voucher, "code": None}
        for account in accounts
        for voucher in await _all_of(request, api.redemption, listed, {"member": account})
    ]
    return Response(msgspec.json.encode(found), media_type="application/json")


def _identifier(api: Api, program: str, keys: dict[str, bytes | None], row: IdentifierRow) -> dict[str, Any]:
    value = api.sealing.open(keys[row.member], program, row.member, (IDENTIFIER, row.scheme), row.sealed)
    state = "active" if row.blocked_at is None else "blocked"
    return {"account": row.member, "scheme": row.scheme, "value": value, "state": state, "since": row.created_at}


def _operation(api: Api, program: str, keys: dict[str, bytes | None], row: OperationRow) -> dict[str, Any]:
    sealed = api.sealing.open(keys[row.member], program, row.member, (NOTE, row.id), row.sealed_note)
    body: dict[str, Any] = msgspec.json.decode(row.body) if row.body is not None else {}
    return {
        **body,
        "kind": row.kind,
        "id": row.id,
        "account": row.member,
        "partner": row.partner,
        "state": row.state,
        "note": sealed if sealed is not None else row.note,
        "at": row.created_at,
    }


async def _all_of(request: Request, owner: Owner, path: str, params: dict[str, str]) -> list[dict[str, Any]]:
    """Return every page of a list that another service keeps."""
    found: list[dict[str, Any]] = []
    more = {"limit": str(_PAGE)}
    while True:
        answered = await owner.ask("GET", path, params={**params, **more}, request_id=request_id(request))
        if answered.status_code == 404:
            # Nothing has come to it yet.
            return found
        if answered.status_code != 200:
            raise Problem("unavailable", "What another service holds cannot be read.", retry_after_seconds=1)
        page = msgspec.json.decode(bytes(answered.body))
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        more["cursor"] = page["next_cursor"]
