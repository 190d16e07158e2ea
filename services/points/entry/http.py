"""Questions come in: statement, lots, decisions, quotes and liability, asked by the gateway with a deadline."""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query, Request, Response

from laurel.contracts.activity import QuotedActivity
from laurel.errors import Problem
from laurel.program import CompiledProgram, RuleOutcome, basis_of
from laurel.shapes import decoder_of
from services.points.domain.moment import Programs
from services.points.domain.state import Wallet
from services.points.domain.tiering import seen_for

_decode_quote = decoder_of(QuotedActivity).decode

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=64)]
Partner = Annotated[str | None, Query(max_length=128)]
"""Whose journals and lots may be seen, where the caller may not see all."""


class Views(Protocol):
    """Answers about wallets, in the contract's shapes; raises problems."""

    async def statement(
        self, program: str, member: str, limit: int, cursor: int | None, partner: str | None
    ) -> dict[str, Any]: ...
    async def lots(
        self, program: str, member: str, limit: int, cursor: tuple[int, int], partner: str | None
    ) -> dict[str, Any]: ...
    async def decisions(
        self, program: str, member: str, limit: int, cursor: int | None, partner: str | None
    ) -> dict[str, Any]: ...
    async def balances(self, program: str, member: str, zone: ZoneInfo) -> list[dict[str, Any]]: ...
    async def liability(self, program: str, zone: ZoneInfo) -> dict[str, Any]: ...
    async def seen(self, program: str, member: str) -> Wallet: ...


class NewestPrograms(Programs, Protocol):
    """Programs of which the newest version can be asked for."""

    def newest(self, program: str) -> CompiledProgram | None: ...


def routes(views: Views, programs: NewestPrograms) -> APIRouter:
    """Return the routes over these views."""
    router = APIRouter(prefix="/v1/programs/{program}")

    @router.get("/members/{member}/statement")
    async def statement(
        program: str, member: str, limit: Limit = 50, cursor: Cursor = None, partner: Partner = None
    ) -> Response:
        return _json(await views.statement(program, member, limit, _number(cursor), partner))

    @router.get("/members/{member}/lots")
    async def lots(
        program: str, member: str, limit: Limit = 50, cursor: Cursor = None, partner: Partner = None
    ) -> Response:
        return _json(await views.lots(program, member, limit, _place(cursor), partner))

    @router.get("/members/{member}/decisions")
    async def decisions(
        program: str, member: str, limit: Limit = 50, cursor: Cursor = None, partner: Partner = None
    ) -> Response:
        return _json(await views.decisions(program, member, limit, _number(cursor), partner))

    @router.get("/members/{member}/balances")
    async def balances(program: str, member: str) -> Response:
        return _json({"balances": await views.balances(program, member, programs.zone(program))})

    @router.get("/reports/liability")
    async def liability(program: str) -> Response:
        return _json(await views.liability(program, programs.zone(program)))

    @router.post("/quotes")
    async def quote(program: str, request: Request) -> Response:
        try:
            activity = _decode_quote(await request.body())
        except msgspec.MsgspecError as error:
            raise Problem("invalid", str(error)) from error
        judging = _version_for(programs, program, activity)
        member = activity.member if isinstance(activity.member, str) else None
        wallet = await views.seen(program, member) if member is not None else Wallet(program, "")
        outcomes = judging.evaluate(basis_of(activity), seen_for(wallet, judging, activity).member)
        return _json(_quoted(judging, outcomes, activity, member))

    return router


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


def _version_for(programs: NewestPrograms, program: str, activity: QuotedActivity) -> CompiledProgram:
    newest = programs.newest(program)
    found = programs.in_force(program, activity.occurred_at, newest.version) if newest is not None else None
    if found is None:
        raise Problem("program_unknown", "No such program")
    if activity.currency is not None and activity.currency != found.currency:
        raise Problem("currency_not_accepted", f"The program counts {found.currency}")
    return found


def _quoted(
    judging: CompiledProgram, outcomes: Sequence[RuleOutcome], activity: QuotedActivity, member: str | None
) -> dict[str, Any]:
    """Say what the activity would earn: awards without lots, and the decision."""
    earned = [outcome for outcome in outcomes if outcome.computed > 0 and not outcome.rule.counts_only]
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
