"""Sandbox copies: a new, empty program from the document in force, with some of its values changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import CopyProgram, PublishReward
from laurel.errors import Fault, Problem
from laurel.io.http import traceparent
from laurel.program.changing import changed, pointer_of_change
from laurel.program.faults import ProgramFaults
from laurel.program.loading import load_program
from laurel.shapes import decoder_of
from services.gateway.asking import Ask, Stamp
from services.gateway.auditing import noted
from services.gateway.documenting import PREFER, described
from services.gateway.naming import REWARD, Correlation, RequestKey
from services.gateway.partnering import publish_terms
from services.gateway.preferring import Preference
from services.gateway.publishing import publish
from services.gateway.reading import api_of, body_of, in_program, query_of, wish_of
from services.gateway.saying import reward_publish_requested
from services.gateway.shown import PendingShown, ProgramShown
from services.gateway.store import partner_terms, programs, redemptions, requests
from services.gateway.store.programs import ProgramHead
from services.gateway.store.requests import PENDING, NewRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laurel.io.saying import Saying
    from laurel.io.unit import Work
    from laurel.program.document import ProgramDocument
    from services.gateway.store.partner_terms import TermsRow
    from services.gateway.store.programs import VersionRow
    from services.gateway.wiring import Api

router = APIRouter()

_PAGE = 500
_decode_reward = decoder_of(PublishReward).decode


@router.post(
    **described(
        "Programs",
        "Copy a program into a sandbox",
        path="/v1/programs/{program}/copy",
        answers={201: ProgramShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=CopyProgram,
        headers=PREFER,
    )
)
async def copy_program(request: Request) -> Response:
    """With its rewards and the terms of its partners, on a manual clock that is not set. No member comes along."""
    caller, head = await in_program(request, "admin")
    query_of(request)
    wish = wish_of(request)
    body: Any = await body_of(request, CopyProgram)
    if not caller.sees_program(body.to):
        raise Problem("program_unknown")
    api = api_of(request)
    document = await _document(api, head, body.to, body.changes)
    asks = [_ask(body.to, *reward, traceparent(request)) for reward in await _rewards(api, head.program)]
    terms = await _terms(api, head.program)

    async def with_rewards(work: Work, row: VersionRow) -> None:
        # They are asked for in the transaction that makes the program, so that no copy is without them.
        accepted = await requests.insert(work.connection, [ask.request for ask in asks], row.published_at)
        for ask in asks:
            attempt, new = accepted[ask.request.key]
            assert ask.say is not None
            work.say(ask.say(Stamp(Correlation(ask.request.key, attempt), new, row.published_at)))
        for version, each in enumerate(terms, 1):
            copied = replace(each, program=body.to, version=version, published_at=row.published_at)
            await publish_terms(work, copied, traceparent(request))

    note = noted(request, caller, "program.copied", body.to, program=body.to)
    trace = traceparent(request)
    publication = await publish(api.unit, document, api.clock, trace, first_with=with_rewards, change=note)
    for ask in asks:
        settled = await api.settler.settle(ask, Preference(wish.wait_seconds, None))
        if settled.state == PENDING:
            shown = {**publication.shown(), "state": PENDING}
            location = {"Location": f"/v1/programs/{body.to}"}
            return Response(msgspec.json.encode(shown), 202, {**wish.headers, **location}, "application/json")
    return Response(msgspec.json.encode(publication.shown()), 201, wish.headers, "application/json")


async def _document(api: Api, head: ProgramHead, to: str, changes: Mapping[str, Any]) -> ProgramDocument:
    """Return the document in force, changed; a fault points at the change that makes it, where one does."""
    async with api.database.connection() as connection:
        head = (await programs.heads(connection, [head.program]))[head.program]
        row = await programs.in_force(connection, head.program, (head.as_of if head.is_manual else None) or api.clock())
    assert row is not None
    plain = {**msgspec.json.decode(row.document), "program": to, "clock": "manual"}
    try:
        return load_program({**changed(plain, changes), "program": to, "clock": "manual"})
    except ProgramFaults as faults:
        blamed = [Fault(_blamed(each.pointer, changes), each.code, each.detail) for each in faults.faults]
        raise Problem("invalid", "The changed document is not a valid program", errors=blamed) from None


def _blamed(pointer: str, changes: Mapping[str, Any]) -> str:
    for change in changes:
        if f"{pointer}/".startswith(f"{change}/") or f"{change}/".startswith(f"{pointer}/"):
            return pointer_of_change(change)
    return pointer


async def _terms(api: Api, program: str) -> list[TermsRow]:
    """Return what was said last of each partner."""
    async with api.database.connection() as connection:
        return await partner_terms.of_program(connection, program)


async def _rewards(api: Api, program: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    async with api.database.connection() as connection:
        while True:
            after = found[-1][0] if found else ""
            page = await redemptions.rewards(connection, program, after, _PAGE)
            found += page
            if len(page) < _PAGE:
                return found


def _ask(program: str, reward: str, document: bytes, trace: str) -> Ask:
    decoded: Any = _decode_reward(document)
    struct: Any = msgspec.structs.replace(decoded, reward=reward)

    def say(stamp: Stamp) -> Saying:
        return reward_publish_requested(stamp, reward, struct, trace)

    key = RequestKey(program, REWARD, "", reward)
    return Ask(NewRequest(key, body_hash(struct), None), say, waits=True)
