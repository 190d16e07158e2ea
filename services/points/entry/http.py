"""Questions come in: statement, lots, decisions, quotes and liability, asked by the gateway with a deadline."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Protocol
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query, Request, Response

from laurel.contracts.activity import QuotedActivity
from laurel.errors import Fault, Problem
from laurel.program import CompiledProgram
from laurel.program.explaining import whole_decision
from laurel.shapes import decoder_of
from services.points.domain.moment import Programs
from services.points.entry.quoting import NewestPrograms, QuoteViews, quote

_decode_quote = decoder_of(QuotedActivity).decode

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=64)]
After = Annotated[str, Query(max_length=128)]
First = Annotated[date, Query(alias="from")]
Top = Annotated[int, Query(ge=1, le=100)]
Partner = Annotated[str | None, Query(max_length=128)]
"""Whose journals and lots may be seen, where the caller may not see all."""


class Views(QuoteViews, Protocol):
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
    async def times(self, program: str, member: str) -> dict[str, Any]: ...
    async def liability(self, program: str, zone: ZoneInfo) -> dict[str, Any]: ...
    async def breakage(self, program: str) -> dict[str, Any]: ...
    async def concentration(self, program: str, unit: str, days: tuple[date, date], top: int) -> dict[str, Any]: ...
    async def moved(
        self, program: str, as_of: datetime, after: str, limit: int
    ) -> tuple[list[tuple[str, int]], str | None]: ...
    async def touched(
        self, program: str, units: Sequence[str], rules: Sequence[str], own: Sequence[str], *, everybody: bool
    ) -> dict[str, int]: ...


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
        page = await views.decisions(program, member, limit, _number(cursor), partner)
        for each in page["data"]:
            _explain(programs, program, each)
        return _json(page)

    @router.get("/members/{member}/balances")
    async def balances(program: str, member: str) -> Response:
        return _json({"balances": await views.balances(program, member, programs.zone(program))})

    _add_reports(router, views, programs)

    @router.post("/touched")
    async def touched(program: str, request: Request) -> Response:
        try:
            asked = _decode_touched(await request.body())
        except msgspec.MsgspecError as error:
            raise Problem("invalid", str(error)) from error
        found = await views.touched(program, asked.units, asked.rules, asked.own, everybody=asked.everybody)
        return _json(found)

    @router.get("/clock/moved")
    async def moved(program: str, as_of: datetime, after: After = "", limit: Limit = 500) -> Response:
        members, following = await views.moved(program, as_of, after, limit)
        return _json({"members": members, "next": following})

    @router.post("/quotes")
    async def quoted(program: str, request: Request, at: datetime | None = None) -> Response:
        try:
            activity = _decode_quote(await request.body())
        except msgspec.MsgspecError as error:
            raise Problem("invalid", str(error)) from error
        return _json(await quote(views, programs, program, activity, at))

    _add_times(router, views)
    return router


def _with_provisions(report: dict[str, Any], program: CompiledProgram | None) -> dict[str, Any]:
    """Say what is to be set aside for what is outstanding, by what a version says that points are worth."""
    for each in report["units"]:
        unit = program.units.get(each["unit"]) if program is not None else None
        amount = unit.provision(each["outstanding"]) if unit is not None else None
        if unit is not None and amount is not None:
            each["provision"] = {"amount": amount, "currency": unit.value_currency}
        else:
            each["provision"] = None
    return report


def _add_times(router: APIRouter, views: Views) -> None:
    @router.get("/members/{member}/times")
    async def times(program: str, member: str) -> Response:
        """Say what a sandbox's time goes by, beside its clock."""
        return _json(await views.times(program, member))


def _add_reports(router: APIRouter, views: Views, programs: NewestPrograms) -> None:
    @router.get("/reports/liability")
    async def liability(program: str, at: datetime | None = None) -> Response:
        """Tell the value of points by the version in force at an instant, the program's now; else by the newest."""
        valued_by = programs.newest(program)
        if at is not None and valued_by is not None:
            valued_by = programs.in_force(program, at, valued_by.version)
        return _json(_with_provisions(await views.liability(program, programs.zone(program)), valued_by))

    @router.get("/reports/breakage")
    async def breakage(program: str) -> Response:
        return _json(await views.breakage(program))

    @router.get("/reports/concentration")
    async def concentration(program: str, unit: str, first: First, until: date, top: Top = 20) -> Response:
        return _json(await views.concentration(program, unit, (first, until), top))


def _explain(programs: Programs, program: str, shown: dict[str, Any]) -> None:
    """Show what each rule said, where silent ones are not kept with the decision."""
    activity_type = shown.pop("unlisted")
    judged_by = programs.version(program, shown["version"]) if activity_type is not None else None
    if judged_by is not None:
        told, occurred_at = shown["decision"], shown["occurred_at"]
        shown["decision"] = whole_decision(judged_by.rules, activity_type, occurred_at, told)


class _Touched(msgspec.Struct):
    units: list[str]
    rules: list[str]
    own: list[str]
    everybody: bool = False


_decode_touched = msgspec.json.Decoder(_Touched).decode


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        fault = Fault("/query/cursor", "bad_format", "A cursor is given back as it was received")
        raise Problem("invalid", errors=[fault])
    return int(cursor)


def _place(cursor: str | None) -> tuple[int, int]:
    journal, _, lot = (cursor or "0.0").partition(".")
    return _number(journal) or 0, min(_number(lot) or 0, 32_767)
