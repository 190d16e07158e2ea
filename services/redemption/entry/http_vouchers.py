"""The internal door to vouchers: by code, as lists, and how far the vouchers of a turned clock are."""

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from laurel.errors import Fault, Problem
from laurel.io.database import Connection, Database
from laurel.values import ID_PATTERN, PLAIN_ID_PATTERN, Instant
from services.redemption.ports import TurnSeen

Program = Annotated[str, Path(pattern=PLAIN_ID_PATTERN)]
Member = Annotated[str | None, Query(pattern=ID_PATTERN)]
State = Literal["issued", "spent", "expired", "void"]


class Wanted(BaseModel):
    """A voucher by its code, which stands in no path: paths are logged. `now`: the program's, where it has one."""

    model_config = ConfigDict(extra="forbid")

    code: Annotated[str, Field(max_length=256)]
    now: Instant | None = None


class VoucherViews(Protocol):
    """Reads of vouchers."""

    async def by_code(
        self, connection: Connection, program: str, code: str, now: datetime | None
    ) -> dict[str, Any] | None:
        """Return the voucher of a code."""

    async def listed(
        self,
        connection: Connection,
        program: str,
        *,
        member: str | None,
        state: str | None,
        after: tuple[str, str],
        limit: int,
        now: datetime | None,
    ) -> list[dict[str, Any]]:
        """Return a page of vouchers."""

    async def turned(self, connection: Connection, program: str, as_of: datetime) -> TurnSeen | None:
        """Return how far the vouchers of a turn are."""


def add_voucher_routes(
    router: APIRouter, database: Database, views: VoucherViews, check: Callable[[str | None], None]
) -> None:
    """Add the routes; `check` looks at who asks, where codes are told."""

    @router.post("/vouchers/find")
    async def find(
        program: Program, wanted: Wanted, authorization: Annotated[str | None, Header()] = None
    ) -> dict[str, Any]:
        """Show the voucher that a code belongs to."""
        check(authorization)
        async with database.reading() as connection:
            found = await views.by_code(connection, program, wanted.code, wanted.now)
        if found is None:
            raise Problem("voucher_unknown")
        return found

    @router.get("/vouchers/list")
    async def listed(
        program: Program,
        member: Member = None,
        state: State | None = None,
        now: Instant | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: Annotated[str | None, Query(max_length=512)] = None,
        authorization: Annotated[str | None, Header()] = None,
    ) -> dict[str, Any]:
        """Show vouchers, in the order of members and ids."""
        check(authorization)
        after = _position(cursor)
        async with database.reading() as connection:
            found = await views.listed(
                connection, program, member=member, state=state, after=after, limit=limit + 1, now=now
            )
        last = found[limit - 1] if len(found) > limit else None
        return {"data": found[:limit], "next_cursor": _cursor(last) if last is not None else None}

    @router.get("/clock/vouchers")
    async def turned(program: Program, as_of: Instant) -> dict[str, Any]:
        """Say how far the vouchers of a turn of the program's clock are."""
        async with database.reading() as connection:
            seen = await views.turned(connection, program, as_of)
        if seen is None:
            return {"done": False, "vouchers_issued": 0, "vouchers_expired": 0, "holds_timed_out": 0}
        return {
            "done": seen.done,
            "vouchers_issued": seen.issued,
            "vouchers_expired": seen.expired,
            "holds_timed_out": seen.timed_out,
        }


def _cursor(voucher: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(f"{voucher['member']}\n{voucher['voucher']}".encode()).decode()


def _position(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    try:
        member, _, voucher = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition("\n")
    except ValueError:
        member = voucher = ""
    if not member or not voucher or "\x00" in member + voucher:
        raise Problem("invalid", errors=[Fault("/query/cursor", "bad_format", "A cursor is given back as it came")])
    return member, voucher
