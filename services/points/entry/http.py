"""Questions come in: statement, lots, decisions, quotes and liability, asked by the gateway with a deadline."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from laurel.contracts.activity import QuotedActivity
from laurel.errors import Problem
from laurel.program import CompiledProgram, RuleOutcome, basis_of
from laurel.shapes import decoder_of
from services.points.store import views
from services.points.store.programs import KnownPrograms
from services.points.entry.reads import Reads

_decode_quote = decoder_of(QuotedActivity).decode
_ATTRIBUTES = "select attributes from wallets where program = $1 and member = $2 and status <> 'unknown'"
"""The attributes that rules may read."""

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=64)]


def routes(reads: Reads) -> APIRouter:
    """Return the routes over what was read."""
    router = APIRouter(prefix="/v1/programs/{program}")

    @router.get("/members/{member}/statement")
    async def statement(program: str, member: str, limit: Limit = 50, cursor: Cursor = None) -> Response:
        async with reads.database.reading() as connection:
            return await _answer(views.statement(connection, program, member, limit, _number(cursor)))

    @router.get("/members/{member}/lots")
    async def lots(program: str, member: str, limit: Limit = 50, cursor: Cursor = None) -> Response:
        async with reads.database.reading() as connection:
            return await _answer(views.lots(connection, program, member, limit, _place(cursor)))

    @router.get("/members/{member}/decisions")
    async def decisions(program: str, member: str, limit: Limit = 50, cursor: Cursor = None) -> Response:
        async with reads.database.reading() as connection:
            return await _answer(views.decisions(connection, program, member, limit, _number(cursor)))

    @router.get("/members/{member}/balances")
    async def balances(program: str, member: str) -> Response:
        async with reads.database.reading() as connection:
            found = await views.balances(connection, program, member, reads.programs.zone(program))
        return _json({"balances": found})

    @router.get("/reports/liability")
    async def liability(program: str) -> Response:
        async with reads.database.reading() as connection:
            found = await views.liability(connection, program, reads.programs.zone(program))
        return _json(found)

    @router.post("/quotes")
    async def quote(program: str, request: Request) -> Response:
        try:
            activity = _decode_quote(await request.body())
        except msgspec.MsgspecError as error:
            raise Problem("invalid", str(error)) from error
        judging = _version_for(reads.programs, program, activity)
        member = activity.member if isinstance(activity.member, str) else None
        attributes = await _attributes(reads, program, member)
        outcomes = judging.evaluate(basis_of(activity), attributes)
        return _json(_quoted(judging, outcomes, activity, member))

    return router


async def _answer(view: Any) -> Response:
    try:
        return _json(await view)
    except views.MemberNotFoundError as error:
        raise Problem("member_unknown", "No such member") from error


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Problem("invalid", "The cursor is not one that a list gave")
    return int(cursor)


def _place(cursor: str | None) -> tuple[int, int]:
    journal, _, lot = (cursor or "0.0").partition(".")
    return _number(journal) or 0, min(_number(lot) or 0, 32_767)


def _version_for(programs: KnownPrograms, program: str, activity: QuotedActivity) -> CompiledProgram:
    newest = programs.newest(program)
    found = (
        programs.in_force(program, activity.occurred_at, newest.version) if newest is not None else None
    )
    if found is None:
        raise Problem("program_unknown", "No such program")
    if activity.currency is not None and activity.currency != found.currency:
        raise Problem("currency_not_accepted", f"The program counts {found.currency}")
    return found


async def _attributes(reads: Reads, program: str, member: str | None) -> dict[str, Any]:
    if member is None:
        return {}
    async with reads.database.reading() as connection:
        row = await connection.fetchrow(_ATTRIBUTES, program, member)
    if row is None:
        raise Problem("member_unknown", "No such member")
    return msgspec.json.decode(row["attributes"]) if row["attributes"] else {}


def _quoted(
    judging: CompiledProgram, outcomes: Any, activity: QuotedActivity, member: str | None
) -> dict[str, Any]:
    """Say what the activity would earn: awards without lots, and the decision."""
    earned: list[RuleOutcome] = [outcome for outcome in outcomes if outcome.computed > 0]
    return {
        "awards": [
            {
                "member": member,
                "rule": outcome.rule.id,
                "unit": outcome.rule.unit,
                "amount": outcome.computed,
                "state": "available",
                "available_at": activity.occurred_at,
                "expires_at": judging.expires_at(outcome.rule, activity.occurred_at),
                "funding": [{"partner": outcome.rule.funder, "amount": outcome.computed}],
            }
            for outcome in earned
        ],
        "decision": [
            {
                "rule": outcome.rule.id,
                "fired": outcome.fired,
                "reason": outcome.reason,
                "computed": outcome.computed,
                "amount": outcome.computed,
                "capped_by": [],
            }
            for outcome in outcomes
        ],
        "version": judging.version,
    }
