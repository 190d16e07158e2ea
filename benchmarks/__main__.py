"""`python -m benchmarks [WHAT ...] [--quick]`: measure, keep the results, show them beside their bars."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from rich.console import Console

from benchmarks import (
    growing_broker,
    hearing,
    large_file,
    lots,
    mixed,
    points_stage,
    redeem,
    rows_alone,
    rules,
    rules_stage,
    start_time,
    statement,
    till,
    voucher_check,
    vouchers,
    waking,
    whole_year,
)
from benchmarks.results import keep, show

Rows = list[dict[str, Any]]

ACTIVITIES = 300_000
QUICK_ACTIVITIES = 20_000
QUICK_BASKETS = 5_000
QUICK_HOUSEHOLDS = 5_000
JUDGED = 30_000
QUICK_JUDGED = 3_000
RULED = 260_000
QUICK_RULED = 6_000
QUICK_LOTS = 2_000
MEMBERS = 200_000
QUICK_MEMBERS = 10_000
VOUCHERS = 400_000
QUICK_VOUCHERS = 20_000
DELIVERIES = 20_000
QUICK_DELIVERIES = 3_000
LISTENERS = 1_000
BESIDE_REAL_KAFKA = {"till": till.run, "mixed": mixed.run, "redeem": redeem.run}
ON_REQUEST = [f"{name}-real-kafka" for name in BESIDE_REAL_KAFKA]
"""These need Java and Maven, as `make test-kafka`, and so run only when asked for."""


def main() -> int:
    """Run what was asked for, one after the other; a benchmark that breaks does not take the others with it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="*", help=f"any of: {', '.join(_measures(quick=False, count=0))}; all by default")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, to see that it works")
    parser.add_argument("--activities", type=int, default=0, help="how many the points stage is given")
    parser.add_argument("--details", action="store_true", help="print everything that was measured")
    arguments = parser.parse_args()
    count = arguments.activities or (QUICK_ACTIVITIES if arguments.quick else ACTIVITIES)
    measures = _measures(quick=arguments.quick, count=count)
    unknown = set(arguments.what) - set(measures)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")

    console = Console(highlight=False)
    rows: Rows = []
    broken = 0
    for name in arguments.what or [name for name in measures if name not in ON_REQUEST]:
        try:
            found = asyncio.run(measures[name](partial(_tell, console, name)))
        except Exception:  # noqa: BLE001 (shown in full, and the exit code says so)
            console.print_exception()
            broken += 1
            continue
        rows += found
        if not arguments.quick:
            _tell(console, name, f"kept in {keep(name, found)}")
    if arguments.details:
        console.print_json(data=rows)
    show(rows, console)
    return 1 if broken else 0


def _measures(*, quick: bool, count: int) -> dict[str, Callable[[Callable[[str], None]], Coroutine[Any, Any, Rows]]]:
    seconds, tpcb_seconds = (5, 3) if quick else (30, 15)
    most = QUICK_HOUSEHOLDS if quick else None
    stage = {
        variant.name: partial(_one, points_stage.run, variant.with_at_most(most), count, tpcb_seconds)
        for variant in points_stage.VARIANTS
    }
    return {
        "waking": partial(_one, waking.run, 50 if quick else 500),
        "start": partial(_one, start_time.run),
        **stage,
        "rules": partial(_one, rules.run, QUICK_JUDGED if quick else JUDGED),
        "points-rules": partial(_one, rules_stage.run, QUICK_RULED if quick else max(count, RULED), None),
        "lots": partial(
            _one, lots.run, 20 if quick else lots.ROUNDS_MAX, QUICK_LOTS if quick else lots.LOTS[lots.MANY]
        ),
        **{
            each.name: partial(_one, statement.run, each, QUICK_MEMBERS if quick else MEMBERS, tpcb_seconds)
            for each in statement.RUNS
        },
        **{
            name: partial(_one, vouchers.run, workers, QUICK_VOUCHERS if quick else VOUCHERS, tpcb_seconds)
            for workers, name in vouchers.NAMES.items()
        },
        rows_alone.NAME: partial(_one, rows_alone.run, QUICK_MEMBERS if quick else MEMBERS, tpcb_seconds),
        "voucher-check": partial(voucher_check.run, seconds, tpcb_seconds),
        "broker": partial(_one, growing_broker.run, *((3.0, 1, 1_000) if quick else (20.0, 5, growing_broker.STEP))),
        "year": partial(_one, whole_year.run, QUICK_BASKETS if quick else None, tpcb_seconds),
        "large-file": partial(_one, large_file.run, large_file.QUICK_SIZE if quick else large_file.SIZE),
        "webhooks": partial(_one, hearing.run_webhooks, QUICK_DELIVERIES if quick else DELIVERIES),
        "sse": partial(_one, hearing.run_listeners, LISTENERS),
        **{name: partial(run, seconds, tpcb_seconds) for name, run in BESIDE_REAL_KAFKA.items()},
        **{
            f"{name}-real-kafka": partial(run, seconds, tpcb_seconds, real_kafka=True)
            for name, run in BESIDE_REAL_KAFKA.items()
        },
    }


async def _one(measure: Callable[..., Coroutine[Any, Any, dict[str, Any]]], *arguments: Any) -> Rows:  # noqa: ANN401
    return [await measure(*arguments)]


def _tell(console: Console, who: str, what: str) -> None:
    console.print(f"[cyan]{who:<16}[/cyan] {what}")


if __name__ == "__main__":
    sys.exit(main())
