"""Every event is accounted for: what one service said, the others have heard, and nothing is missing between.

Read with the auditor's eyes, over all schemas of one database. What is still on its way is not a fault: the caller
asks again until it has arrived, or says that it did not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from laurel.io.database import Connection
from laurel.io.message import source_of

FAULTS_MAX = 100
HEARS: Mapping[str, Sequence[str]] = {
    "gateway": ("points", "redemption"),
    "points": ("gateway", "redemption"),
    "redemption": ("points", "gateway"),
}
"""Which services listen to whom."""

_NUMBERS = """
    select k.program || ':' || k.member || k.stream as place,
           'number ' || k.number || ' given out, rows from ' || coalesce(o.least, 0) || ' to ' || coalesce(o.most, 0)
             || ', ' || coalesce(o.n, 0) || ' of them' as what
    from {speaker}.outbox_keys k
    left join (select program, member, stream, min(number) as least, max(number) as most, count(*) as n
               from {speaker}.outbox group by program, member, stream) o using (program, member, stream)
    where o.n is not null and (o.most <> k.number or o.n <> o.most - o.least + 1)
    limit {limit}"""

_UNPUBLISHED = """
    select program || ':' || member || stream as place, min(number) || ' and on are not published' as what
    from {speaker}.outbox join {speaker}.outbox_open using (work) group by program, member, stream limit {limit}"""

# From both sides: a listener that applied what nobody said is as wrong as one that has not heard what was. A key that
# stands still because something of it is parked is told of by `parked`.
_HEARD = """
    select coalesce(k.program, i.program) || ':' || coalesce(k.member, i.member) as place,
           '{speaker} said ' || coalesce(k.number, 0) || ', {listener} applied ' || coalesce(i.number, 0) as what,
           coalesce(i.number, 0) <= coalesce(k.number, 0) as passing
    from (select program, member, number from {speaker}.outbox_keys where stream = '') k
    full join (select program, member, number from {listener}.inbox where source = $1) i using (program, member)
    where coalesce(k.number, 0) <> coalesce(i.number, 0)
      and (coalesce(i.number, 0) > coalesce(k.number, 0)
           or not exists (select from {listener}.parked p
                          where p.program = k.program and p.member = k.member and p.source = $1))
    limit {limit}"""

_PARKED = "select count(*) from {listener}.parked"


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """An event that is missing somewhere; `passing` where it may only be on its way."""

    proof: str
    where: str
    what: str
    passing: bool


async def account(connection: Connection) -> list[Unaccounted]:
    """Return what is not accounted for between the services; none means that every event has arrived once."""
    found: list[Unaccounted] = []
    for speaker, listeners in HEARS.items():
        epoch = await connection.fetchval(f"select epoch from {speaker}.schema_epoch")
        names = {"speaker": speaker, "limit": FAULTS_MAX}
        found += [
            Unaccounted(f"the outbox of {speaker} has no gap", place, what, passing=False)
            for place, what in await connection.fetch(_NUMBERS.format(**names))
        ]
        found += [
            Unaccounted(f"all that {speaker} said is published", place, what, passing=True)
            for place, what in await connection.fetch(_UNPUBLISHED.format(**names))
        ]
        source = source_of(speaker, "", epoch)
        for listener in listeners:
            query = _HEARD.format(**names, listener=listener)
            found += [
                Unaccounted(f"{listener} applied what {speaker} said", place, what, passing=passing)
                for place, what, passing in await connection.fetch(query, source)
            ]
    return found


async def parked(connection: Connection) -> dict[str, int]:
    """Return how many messages each service has parked; they are kept, but a person must look."""
    return {listener: await connection.fetchval(_PARKED.format(listener=listener)) for listener in HEARS}
