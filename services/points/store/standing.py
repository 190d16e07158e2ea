"""Members as they stand, for exports: with all that events told of them, in the shapes in which events tell it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from laurel.program.caps import COUNTER_OF_A_CAP
from services.points.announcing import balances_of, counter_said
from services.points.announcing_standing import segments_said, standing_said
from services.points.domain.fact import Counted
from services.points.domain.state import Balance, Wallet
from services.points.domain.tiering import ANY_VERSION, shown
from services.points.ports import Needs, WalletKey
from services.points.store.pooling import decode_household
from services.points.store.segmenting import read_segments
from services.points.store.tiering import MARGIN, read_tiers

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from laurel.io.database import Connection
    from services.points.domain.moment import Programs

_AT_ONCE: Final = 20
"""Of so many members are counts by day, which may be some hundreds of each, read together."""

_MEMBERS: Final = """
    select w.member, w.status, w.enrolled_at, w.person, w.attributes, w.merged_into, w.version, w.at, w.household,
        t.tier, t.since_at
    from wallets w left join tiers t using (program, member)
    where w.program = $1 and w.member = any($2::text[]) and w.enrolled_at is not null order by w.member
"""
_BALANCES: Final = """
    select member, unit, available, pending, held, owed, earned, spent, expired, reversed, adjusted, active_until,
        next_expiry_at, next_expiry_amount
    from balances where program = $1 and member = any($2::text[]) order by member, unit
"""
# Windows that were over before the member's last event are left out: an event that moves one again says all of it.
_COUNTERS: Final = f"""
    select k.member, c.counter, c.window_start, c.window_end, c.unit, c.counted, c.bound
    from unnest($2::text[], $3::timestamptz[]) as k (member, at)
    cross join lateral (
        select counter, window_start, window_end, unit, counted, bound from counters
        where program = $1 and member = k.member and unit <> '' and counter like '{COUNTER_OF_A_CAP}%'
            and (window_end is null or window_end > k.at)
        offset 0) c
    order by k.member, c.counter, c.window_start
"""


class Standing:
    """The kind of export that shows how members stand, a row each, as of the last event that was said of them."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    async def rows(
        self, connection: Connection, program: str, members: Sequence[str]
    ) -> AsyncGenerator[tuple[str, Mapping[str, Any]], None]:
        for first in range(0, len(members), _AT_ONCE):
            some = members[first : first + _AT_ONCE]
            for row in await self._of(connection, program, list(some)):
                yield row

    async def _of(
        self, connection: Connection, program: str, members: list[str]
    ) -> list[tuple[str, Mapping[str, Any]]]:
        zone = self._programs.zone(program)
        found = await connection.fetch(_MEMBERS, program, members)
        wallets = {WalletKey(program, row["member"]): _wallet(program, row) for row in found}
        await self._read_standing(connection, program, wallets)
        balances: dict[str, list[Balance]] = {}
        for member, *balance in await connection.fetch(_BALANCES, program, members):
            balances.setdefault(member, []).append(Balance(*balance))
        counters: dict[str, list[Any]] = {}
        columns = [row["member"] for row in found], [row["at"] for row in found]
        for member, *counter in await connection.fetch(_COUNTERS, program, *columns):
            counters.setdefault(member, []).append(counter_said(_counted(*counter), zone))
        return [
            (
                row["member"],
                {
                    **_member(row),
                    "balances": balances_of(balances.get(row["member"], ()), zone),
                    **self._standing(wallets[WalletKey(program, row["member"])], zone),
                    "counters": counters.get(row["member"], []),
                },
            )
            for row in found
        ]

    async def _read_standing(self, connection: Connection, program: str, wallets: dict[WalletKey, Wallet]) -> None:
        """Read tiers and segments as the road does, as far back as windows reach that are open now."""
        needs = Needs()
        reach = self._programs.tiers_reach(program)
        if reach is not None:
            needs.tiers = dict.fromkeys(wallets, reach)
            needs.counting = {key: wallet.at.date() - MARGIN for key, wallet in wallets.items()}
        if self._programs.has_segments(program):
            needs.segments = set(wallets)
        await read_tiers(connection, needs, wallets)
        await read_segments(connection, needs, wallets)

    def _standing(self, wallet: Wallet, zone: ZoneInfo) -> dict[str, Any]:
        version = self._programs.in_force(wallet.program, wallet.at, ANY_VERSION)
        stands = shown(wallet, version, wallet.at)
        return {
            "tier_standing": None if stands is None else standing_said(stands, zone),
            "segments": segments_said(wallet.segments.held, zone),
        }


def _wallet(program: str, row: Any) -> Wallet:  # noqa: ANN401 - a row is whatever its statement selects
    wallet = Wallet(program, row["member"])
    wallet.enrolled_at, wallet.version, wallet.at = row["enrolled_at"], row["version"], row["at"]
    return wallet


def _member(row: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    return {
        "status": row["status"],
        "enrolled_at": row["enrolled_at"],
        "person": row["person"],
        "attributes": msgspec.json.decode(row["attributes"]) if row["attributes"] else {},
        "merged_into": row["merged_into"],
        "household": None if row["household"] is None else _household(row["household"]),
        "version": row["version"],
        "tier": None if row["tier"] is None else {"name": row["tier"], "since": row["since_at"]},
    }


def _household(kept: bytes) -> dict[str, Any]:
    household = decode_household(kept)
    return {"household": household.household, "members": household.members, "pooling": household.pooling}


def _counted(
    counter: str, start: datetime, end: datetime | None, unit: str, counted: int, bound: int | None
) -> Counted:
    return Counted(counter, start, 0, counted, end, unit, bound)
