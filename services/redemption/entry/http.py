"""The internal door: the catalogue, and voucher codes for those who may show them to their member."""

import base64
import hmac
import re
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Header, Path, Query
from pydantic import SecretStr

from laurel.errors import Fault, Problem
from laurel.io.database import Connection, Database
from laurel.values import ID_PATTERN, PLAIN_ID_PATTERN
from services.redemption.entry.http_asked import Asked, add_asked_routes
from services.redemption.entry.http_codes import Pools, add_code_routes
from services.redemption.entry.http_heard import Standings, add_heard_routes
from services.redemption.entry.http_vouchers import VoucherViews, add_voucher_routes

Program = Annotated[str, Path(pattern=PLAIN_ID_PATTERN)]
Redemption = Annotated[str, Query(pattern=ID_PATTERN)]
Member = Annotated[str | None, Query(pattern=ID_PATTERN)]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=256)]

_ID = re.compile(ID_PATTERN)


class Views(VoucherViews, Standings, Protocol):
    """Reads for screens."""

    def partner_secret(self, program: str, reward: str) -> str:
        """Return the common secret with the partner that fulfils a reward."""

    async def rewards(self, connection: Connection, program: str, *, after: str, limit: int) -> list[dict[str, Any]]:
        """Return a page of a program's catalogue, in the order of reward ids."""

    async def vouchers(
        self, connection: Connection, program: str, redemption: str, member: str | None
    ) -> list[dict[str, Any]]:
        """Return the vouchers of a redemption, with their codes."""


def routes(database: Database, views: Views, pools: Pools, asked: Asked, codes_token: SecretStr | None) -> APIRouter:
    """Make the routes; without `codes_token` the network is what keeps strangers from the codes."""
    router = APIRouter(prefix="/v1/programs/{program}")

    @router.get("/rewards")
    async def rewards(program: Program, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
        """Show what a program offers, and how much of it is left."""
        after = _position(cursor)
        async with database.reading() as connection:
            found = await views.rewards(connection, program, after=after, limit=limit + 1)
        following = _cursor(found[limit - 1]["reward"]) if len(found) > limit else None
        return {"data": found[:limit], "next_cursor": following}

    @router.get("/vouchers")
    async def vouchers(
        program: Program,
        redemption: Redemption,
        member: Member = None,
        authorization: Annotated[str | None, Header()] = None,
    ) -> dict[str, Any]:
        """Show the vouchers of one redemption with their codes, for the answer to whoever redeemed."""
        _check(codes_token, authorization)
        # One statement by its keys, asked at every redemption: a snapshot would take longer than what it shows.
        async with database.connection() as connection:
            found = await views.vouchers(connection, program, redemption, member)
        return {"data": found, "next_cursor": None}

    @router.get("/rewards/{reward}/fulfilment")
    async def fulfilment(
        program: Program,
        reward: Annotated[str, Path(pattern=ID_PATTERN)],
        authorization: Annotated[str | None, Header()] = None,
    ) -> dict[str, Any]:
        """Show the secret by which we and the partner that fulfils a reward sign."""
        _check(codes_token, authorization)
        return {"reward": reward, "secret": views.partner_secret(program, reward)}

    add_asked_routes(router, database, asked)
    add_heard_routes(router, database, views)
    add_code_routes(router, database, pools, lambda shown: _check(codes_token, shown))
    add_voucher_routes(router, database, views, lambda shown: _check(codes_token, shown))
    return router


def _check(token: SecretStr | None, authorization: str | None) -> None:
    if token is None:
        return
    shown = (authorization or "").removeprefix("Bearer ").encode()
    if not hmac.compare_digest(shown, token.get_secret_value().encode()):
        raise Problem("unauthenticated")


def _cursor(reward: str) -> str:
    return base64.urlsafe_b64encode(reward.encode()).decode()


def _position(cursor: str | None) -> str:
    if cursor is None:
        return ""
    try:
        reward = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except ValueError:
        reward = ""
    if _ID.fullmatch(reward) is None:
        fault = Fault("/query/cursor", "bad_format", "A cursor is given back as it was received")
        raise Problem("invalid", errors=[fault])
    return reward
