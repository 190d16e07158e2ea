"""Questions about rewards and resources: what a member could have, for what, and what is left."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import APIRouter, Path, Request, Response
from msgspec import Meta

from laurel.calendars import local_date, zone_named
from laurel.errors import Problem
from laurel.io.database import Connection, Database
from laurel.values import ID_PATTERN, PLAIN_ID_PATTERN
from services.redemption.domain.heard import Redeem, Share, Stands, Versions
from services.redemption.domain.judging import clock_at
from services.redemption.domain.moment import Moment, ProgramTerms
from services.redemption.domain.quoting import offer, quote
from services.redemption.domain.state import RewardKey, State

Program = Annotated[str, Path(pattern=PLAIN_ID_PATTERN)]
Resource = Annotated[str, Path(pattern=ID_PATTERN)]
Aware = Annotated[datetime, Meta(tz=True)]
PAGE_MAX = 500
_OF_NOBODY = frozenset({"blacked_out", "sold_out", "partner_not_active"})
"""Reasons that stand in everybody's way."""


class Judging(msgspec.Struct, frozen=True):
    """How the program judges, which only the asker knows: the version in force, and its now.

    `as_of` is where a manual clock stands that was set; a member's now may lie ahead of it. `away` are the partners
    that do not take part now.
    """

    now: Aware
    as_of: Aware | None = None
    zone: str = "UTC"
    manual: bool = False
    member_attributes: dict[str, str] = {}
    tiers: bool = False
    share: Share = Share()
    away: frozenset[str] = frozenset()

    def moment(self) -> Moment:
        """Return the moment of the question."""
        terms = ProgramTerms(self.zone, self.manual, self.member_attributes, self.tiers, self.share)
        return Moment(self.now, terms, away=self.away)


class Wish(msgspec.Struct, frozen=True):
    """A wish as a request would tell it, and what the member has of each unit."""

    wish: msgspec.Raw
    judging: Judging
    balances: dict[str, int] = {}


class Browsing(msgspec.Struct, frozen=True):
    """Who looks at the catalogue, for which day."""

    judging: Judging
    member: str | None = None
    stands: Stands | None = None
    balances: dict[str, int] = {}
    on: date | None = None
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 50


class Day(msgspec.Struct, frozen=True):
    """Which day of a resource is asked for; without one it is today."""

    judging: Judging
    on: date | None = None


class Asked(Protocol):
    """Reads for questions."""

    async def state_of(self, connection: Connection, program: str, wishes: Sequence[tuple[Redeem, Moment]]) -> State:
        """Return what wishes are judged by."""

    async def page(self, connection: Connection, program: str, after: str, limit: int) -> list[str]:
        """Return a page of the names of a program's rewards."""

    async def resources(self, connection: Connection, program: str) -> list[dict[str, Any]]:
        """Return what was said of a program's resources."""

    async def resource(
        self, connection: Connection, program: str, resource: str, day: date, share: Share
    ) -> dict[str, Any] | None:
        """Return how a resource stands on a day."""


_decode_wish = msgspec.json.Decoder(Wish).decode
_decode_redeem = msgspec.json.Decoder(Redeem).decode
_decode_browsing = msgspec.json.Decoder(Browsing).decode
_decode_day = msgspec.json.Decoder(Day).decode


def add_asked_routes(router: APIRouter, database: Database, asked: Asked) -> None:
    """Add the routes. They change nothing, and lock nothing."""

    @router.post("/redemptions/quote")
    async def quoted(program: Program, request: Request) -> Response:
        """Judge a wish as a request would be judged now."""
        try:
            question = _decode_wish(await request.body())
            heard = _decode_redeem(question.wish)
        except msgspec.MsgspecError as error:
            raise Problem("invalid", str(error)) from error
        moment = question.judging.moment()
        async with database.reading() as connection:
            state = await asked.state_of(connection, program, [(heard, moment)])
        return _json(quote(state, heard, moment, question.balances))

    @router.post("/rewards/browse")
    async def browse(program: Program, request: Request) -> Response:
        """Judge a page of the catalogue for a member or a day."""
        try:
            question = _decode_browsing(await request.body())
        except msgspec.MsgspecError as error:
            raise Problem("invalid", str(error)) from error
        moment = question.judging.moment()
        async with database.reading() as connection:
            names = await asked.page(connection, program, question.after, question.limit)
            wishes = [(_browsed(program, name, question), moment) for name in names]
            state = await asked.state_of(connection, program, wishes)
        return _json([_offered(state, heard, moment, question) for heard, _ in wishes])

    @router.get("/resources")
    async def resources(program: Program) -> Response:
        """Show everything that was said of resources, in the order in which it was said of each."""
        async with database.reading() as connection:
            return _json(await asked.resources(connection, program))

    @router.post("/resources/{resource}/find")
    async def resource(program: Program, resource: Resource, request: Request) -> Response:
        """Show how a resource stands on a day."""
        try:
            question = _decode_day(await request.body())
        except msgspec.MsgspecError as error:
            raise Problem("invalid", str(error)) from error
        judging = question.judging
        day = question.on or local_date(judging.now, zone_named(judging.zone))
        async with database.reading() as connection:
            found = await asked.resource(connection, program, resource, day, judging.share)
        if found is None:
            raise Problem("resource_unknown")
        return _json(found)


def _browsed(program: str, reward: str, question: Browsing) -> Redeem:
    return Redeem(
        program=program,
        member=question.member or "-",
        at=question.judging.now,
        redemption="-",
        partner="-",
        hash="",
        reward=reward,
        versions=Versions(as_of=question.judging.as_of),
        on=question.on,
        stands=question.stands,
    )


def _offered(state: State, heard: Redeem, moment: Moment, question: Browsing) -> dict[str, Any]:
    key = RewardKey(heard.program, heard.reward)
    version = state.in_force(key, moment.at)
    stock = state.stock[key]
    # What is offered from a later day on is shown as it will be.
    terms = state.terms[key, stock.version if version is None else version]
    shown: dict[str, Any] = {"reward": heard.reward, "left": stock.left(terms, clock_at(heard, moment))}
    if version is not None:
        shown = {**msgspec.to_builtins(terms), **shown, "version": version}
    found = msgspec.to_builtins(offer(state, heard, moment, question.balances))
    if question.member is None:
        # Nobody asks, so nothing is said of who may have it: only of the day.
        found = {name: found[name] for name in ("price", "reasons")}
        found["reasons"] = [code for code in found["reasons"] if code in _OF_NOBODY]
    return {**shown, **found}


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
