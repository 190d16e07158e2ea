"""Bulk issue: how many vouchers a second workers of redemption make of what points tell, and what each costs.

The events of a statement lie on points' topic before the workers start: one `points.converted.v1` for each member, each
of whom gets a first voucher. The rate is that of vouchers between the first look at which there were any and the last.
Making codes alone (chance, hash, seal) is measured in this process, on one core.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from time import perf_counter, process_time
from typing import Any

import asyncpg

from benchmarks.beside import beside
from benchmarks.feed import Event, Feed
from benchmarks.numbers import Counted, rates
from benchmarks.results import bar
from benchmarks.servers import Servers, servers
from benchmarks.workers import SECRET, at_work, watched

PROGRAM = "clubcard"
NAMES = {1: "vouchers", 2: "vouchers-two-workers"}
"""How the benchmark is called with so many workers."""
RATE_MIN = 20_000
STATEMENT = 13_000_000
DUE_AT = "2021-02-01T00:00:00+00:00"
ENDS_AT = "2023-03-01T00:00:00+00:00"
_CODES = 50_000
_EVERY_SECONDS = 0.5
_LONGEST_SECONDS = 900.0


async def run(workers: int, members: int, tpcb_seconds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure on servers of its own, with TPC-B on the same Postgres before and after."""
    codes = _codes()
    async with servers() as place, beside(place, tpcb_seconds, tell) as measured:
        tell(f"telling of {members:,} conversions")
        await Feed(place.kafka, PROGRAM, "points").produce(_conversions(members))
        tell("issuing")
        looks: list[tuple[float, int]] = []
        async with at_work(place, redemption=workers) as children, watched(place, children) as watch:
            complete = await _watch(place, members, looks)
        tell("checking")
        faults = await _verify(place)
    rate = rates([Counted(*look) for look in looks], _EVERY_SECONDS).mean
    # From the first look at which there were any: what starting costs is not what a voucher costs.
    (begun, first), (ended, last) = next((look for look in looks if look[1]), looks[-1]), looks[-1]
    each = {
        process.name: round(1e6 * process.used(begun, ended) / max(1, last - first), 1) for process in watch.watched
    }
    return {
        "name": NAMES[workers],
        "members": members,
        "workers": workers,
        "complete": complete,
        "rate": round(rate, 1),
        "seconds_for_13_million": round(STATEMENT / rate) if rate else None,
        "processor_us_per_voucher": each,
        "codes_per_second_and_core": round(codes, 1),
        **measured.document(rate),
        "processes": watch.document(),
        "faults": faults,
        "bars": [bar("vouchers issued", rate, RATE_MIN, unit="/s")],
    }


def _codes() -> float:
    """Return how many codes a second one core makes, each with the first key of its member."""
    from services.redemption.store.printing import Press
    from services.redemption.store.vault import Vault

    press = Press(Vault(SECRET.encode()))
    started = process_time()
    for number in range(_CODES):
        press.print(PROGRAM, f"m-{number}", f"v-{number}")
    return _CODES / (process_time() - started)


def _conversions(members: int) -> Iterator[Event]:
    for number in range(members):
        member = f"m-{number:08}"
        body = {
            "program": PROGRAM, "member": member, "at": DUE_AT, "cause": {"kind": "conversion", "id": "statement"},
            "version": 2, "conversion": "statement", "unit": "point", "amount": 500, "voucher": f"v-{number:024}",
            "value": 500, "currency": "GBP", "due_at": DUE_AT, "expires_at": ENDS_AT, "not_above_basket": True,
            "lots": [{"lot": "1.1", "amount": 500}], "turned_to": DUE_AT,
            "balances": [{
                "unit": "point", "available": 0, "pending": 0, "held": 0, "owed": 0,
                "lifetime": {"earned": 500, "spent": 500, "expired": 0, "reversed": 0, "adjusted": 0},
            }],
        }  # fmt: skip
        yield Event(member, "points.converted.v1", json.dumps(body).encode(), DUE_AT)


async def _watch(place: Servers, members: int, looks: list[tuple[float, int]]) -> bool:
    """Look again and again how many are issued and published, until all are."""
    connection = await asyncpg.connect(place.databases.auditor)
    started = perf_counter()
    try:
        while perf_counter() - started < _LONGEST_SECONDS:
            issued = await connection.fetchval("select count(*) from redemption.vouchers")
            looks.append((perf_counter() - started, issued))
            if issued >= members and not await connection.fetchval(
                "select exists (select from redemption.outbox_open)"
            ):
                return True
            await asyncio.sleep(_EVERY_SECONDS)
    finally:
        await connection.close()
    return False


async def _verify(place: Servers) -> list[str]:
    from services.redemption import verifying

    connection = await asyncpg.connect(place.databases.auditor, server_settings={"jit": "off"})
    try:
        found = [each async for each in verifying.verify(connection, across=False)]
    finally:
        await connection.close()
    return [f"{each.proof}: {each.where}: {each.what}" for each in found if isinstance(each, verifying.Finding)]
