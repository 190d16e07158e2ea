"""Questions come in: statement, lots, decisions, quotes and liability, asked by the gateway with a deadline."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Protocol
from zoneinfo import ZoneInfo

import msgspec
from fastapi import APIRouter, Query, Request, Response

from laurel.contracts.activity import QuotedActivity
from laurel.errors import Fault, Problem
from laurel.program import CompiledProgram, RuleOutcome
from laurel.program.explaining import whole_decision
from laurel.shapes import decoder_of
from laurel.values import AMOUNT_MAX
from services.points.domain.capping import counters_at
from services.points.domain.earning import weigh
from services.points.domain.facts import RuleJudged
from services.points.domain.moment import Programs
from services.points.domain.shared import BudgetName, PersonName, Shared
from services.points.domain.state import Wallet

_decode_quote = decoder_of(QuotedActivity).decode

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=64)]
After = Annotated[str, Query(max_length=128)]
First = Annotated[date, Query(alias="from")]
Top = Annotated[int, Query(ge=1, le=100)]
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
    async def budgets(self, program: str) -> dict[BudgetName, int]: ...
    async def people(self, program: str, person: str) -> dict[PersonName, int]: ...
    async def wallet(self, program: str, member: str, counters: Sequence[tuple[str, datetime]]) -> Wallet: ...


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
    async def quote(program: str, request: Request) -> Response:
        try:
            activity = _decode_quote(await request.body())
        except msgspec.MsgspecError as error:
            raise Problem("invalid", str(error)) from error
        return _json(await _quote(views, _version_for(programs, program, activity), activity))

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


async def _quote(views: Views, judging: CompiledProgram, activity: QuotedActivity) -> dict[str, Any]:
    """Say what the activity would earn now, and why."""
    program = judging.program
    member = activity.member if isinstance(activity.member, str) else None
    if judging.is_closed_at(activity.occurred_at):
        raise Problem("program_closed", "Nothing earns any more at that time")
    wallet = Wallet(program, member or "")
    if member is not None:
        counters = counters_at(judging, activity) if judging.counts else []
        wallet = await views.wallet(program, member, counters)
    people = await views.people(program, wallet.person) if judging.limited_by_person and wallet.person else {}
    shared = Shared(budgets=await views.budgets(program) if judging.budgeted else {}, people=people)
    outcomes, decision, _ = weigh(judging, wallet, activity, None, shared)
    if any(outcome.computed > AMOUNT_MAX for outcome in outcomes):
        raise Problem("limit_reached", f"An award ends at {AMOUNT_MAX}")
    return _quoted(judging, outcomes, decision, activity, member)


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


def _version_for(programs: NewestPrograms, program: str, activity: QuotedActivity) -> CompiledProgram:
    newest = programs.newest(program)
    found = programs.in_force(program, activity.occurred_at, newest.version) if newest is not None else None
    if found is None:
        raise Problem("program_unknown", "No such program")
    if activity.currency is not None and activity.currency != found.currency:
        raise Problem("currency_not_accepted", f"The program counts {found.currency}")
    return found


def _quoted(
    judging: CompiledProgram,
    outcomes: Sequence[RuleOutcome],
    decision: Sequence[RuleJudged],
    activity: QuotedActivity,
    member: str | None,
) -> dict[str, Any]:
    """Say what the activity would earn: awards without lots, and the decision."""
    return {
        "awards": [
            {
                "member": member,
                "rule": outcome.rule.id,
                "unit": outcome.rule.unit,
                "amount": judged.amount,
                "state": "available" if outcome.rule.pending is None else "pending",
                "available_at": judging.available_at(outcome.rule, activity.occurred_at),
                "expires_at": judging.expires_at(outcome.rule, activity.occurred_at),
                "funding": [{"partner": outcome.rule.funder, "amount": judged.amount}],
            }
            for outcome, judged in zip(outcomes, decision, strict=True)
            if judged.amount > 0 and not outcome.rule.counts_only
        ],
        "decision": [
            {
                "rule": judged.rule,
                "fired": judged.fired,
                "reason": judged.reason,
                "computed": judged.computed,
                "amount": judged.amount,
                "capped_by": [{"cap": cut.cap, "cut": cut.cut} for cut in judged.capped_by],
            }
            for judged in decision
        ],
        "version": judging.version,
    }
