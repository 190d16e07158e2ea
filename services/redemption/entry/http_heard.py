"""Whether an event of points has been taken in here, and how redemptions stand: asked before a return is answered."""

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import APIRouter, Path, Request
from msgspec import Meta

from laurel.errors import Problem
from laurel.io.database import Connection, Database
from laurel.io.inbox import heard_up_to
from laurel.values import ID_PATTERN, PLAIN_ID_PATTERN

Program = Annotated[str, Path(pattern=PLAIN_ID_PATTERN)]
Id = Annotated[str, Meta(pattern=ID_PATTERN)]


class Told(msgspec.Struct, frozen=True):
    """An event of a member's, and the names of redemptions that it may have moved."""

    member: Id
    source: Annotated[str, Meta(max_length=64)]
    sequence: Annotated[int, Meta(ge=0)]
    redemptions: Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=100)] = ()


class Standings(Protocol):
    """Reads of how redemptions stand."""

    async def standings(
        self, connection: Connection, program: str, member: str, redemptions: Sequence[str]
    ) -> dict[str, str]:
        """Return the states of those of these that are the member's."""


_decode = msgspec.json.Decoder(Told).decode


def add_heard_routes(router: APIRouter, database: Database, views: Standings) -> None:
    """Add the route."""

    @router.post("/heard")
    async def heard(program: Program, request: Request) -> dict[str, Any]:
        """Say whether what the event led to can be read here."""
        try:
            told = _decode(await request.body())
        except msgspec.MsgspecError as error:
            raise Problem("invalid", str(error)) from error
        async with database.reading() as connection:
            number = await heard_up_to(connection, program, told.member, told.source)
            found = await views.standings(connection, program, told.member, told.redemptions)
        return {"heard": number >= told.sequence, "redemptions": found}
