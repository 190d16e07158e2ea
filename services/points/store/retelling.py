"""What points has said of members, read again from their journals: each event as it was, then how the wallet stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from services.points.domain.facts import ActivityReturned
from services.points.domain.state import Wallet
from services.points.ports import Journal
from services.points.retelling import Retelling
from services.points.store.ledger import Ledger, journal_of

if TYPE_CHECKING:
    from laurel.io.database import Connection
    from services.points.domain.moment import Programs

_JOURNALS_AT_ONCE: Final = 200
_CANNOT_BE_FOLDED: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
_BREATH: Final = 50
"""After so many journals others have their turn."""

# The hash is that of the report; a share of an activity bears its name, too, and is nobody's report.
_JOURNALS: Final = """
    select j.journal, j.kind, j.cause, j.partner, j.at, j.occurred_at, j.version, j.message, j.facts, a.hash
    from journals j
    left join lateral (
        select hash from activities
        where program = j.program and partner = j.partner and activity = j.cause and member = j.member
            and j.kind in ('activity', 'return', 'funding')
        offset 0) a on true
    where j.program = $1 and j.member = $2 order by j.journal
"""
# What a return takes back of others is in journals of theirs that the same message made.
_TAKEN_BACK: Final = """
    select r.program, r.member, r.journal
    from unnest($1::text[], $2::text[], $3::bigint[]) as k (program, member, journal)
    cross join lateral (
        select program, member, journal from returns
        where program = k.program and member = k.member and of_journal = k.journal offset 0) r
    join journals j on j.program = r.program and j.member = r.member and j.journal = r.journal and j.message = $4
    order by r.program, r.member, r.journal
"""


class Retold:
    """The kind of export that tells everything again."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    async def rows(
        self, connection: Connection, program: str, members: Sequence[str]
    ) -> AsyncGenerator[tuple[str, Mapping[str, Any]], None]:
        for member in members:
            if not member:
                continue
            try:
                async for told in self._of(connection, program, member):
                    yield member, told
            except _CANNOT_BE_FOLDED as error:
                # As `laurel verify` finds it; of the others all can be told.
                yield member, {"broken": f"its journals do not follow from each other: {error!r}"}

    async def _of(self, connection: Connection, program: str, member: str) -> AsyncGenerator[Mapping[str, Any], None]:
        retelling = Retelling(self._programs, program, member)
        count = 0
        async for row in connection.cursor(_JOURNALS, program, member, prefetch=_JOURNALS_AT_ONCE):
            journal = journal_of(retelling.wallet, row)
            for each in retelling.tell(journal, await self._shared(connection, retelling, journal, row["message"])):
                told = {"type": each.type, "data": msgspec.Raw(each.body)}
                yield told if row["hash"] is None else {**told, "hash": row["hash"]}
            count += 1
            if count % _BREATH == 0:
                await asyncio.sleep(0)
        if count:
            yield {"wallet": _wallet(retelling.wallet)}

    async def _shared(
        self, connection: Connection, retelling: Retelling, journal: Journal, message: str
    ) -> list[Journal]:
        named: Sequence[Any] = retelling.shares(journal)
        if named and isinstance(journal.facts[0], ActivityReturned):
            columns = [list(column) for column in zip(*named, strict=True)]
            named = [tuple(row) for row in await connection.fetch(_TAKEN_BACK, *columns, message)]
        if not named:
            return []
        found = await Ledger(connection).facts_of(named)
        return [found[each] for each in named if each in found]


def _wallet(wallet: Wallet) -> dict[str, Any]:
    return {
        "status": wallet.status,
        "enrolled_at": wallet.enrolled_at,
        "person": wallet.person,
        "attributes": wallet.attributes,
        "referred_by": wallet.referred_by,
        "merged_into": wallet.merged_into,
        "household": wallet.household.household if wallet.household is not None else None,
        "version": wallet.version,
    }
