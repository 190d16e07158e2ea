"""`laurel demo`: the main job on real input, from nothing running to a ledger that is proved."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from laurel.cli.replay import run, show
from laurel.embedded.borrowing import start_if_needed
from laurel.embedded.services import GATEWAY_PORT
from laurel.embedded.status import DATA_DIR
from laurel.errors import LaurelError
from laurel.replaying.complete_journey import ZONE
from laurel.replaying.gateway import Gateway
from laurel.replaying.place import Place, find_place
from laurel.replaying.sending import HowToSend
from laurel.replaying.touring import Bought, Earner, Tour, balance_in

PROGRAM = "grocery"
UNIT = "point"
REWARD = "five-dollars"
BASKETS_SLICE = 20_000
SECONDS_MAX = 45.0
_TOP = 10
_JOURNALS = 6
_OFFER: dict[str, Any] = {
    "name": "Five dollars off the next basket",
    "kind": "voucher",
    "unit": UNIT,
    "price": 250,
    "stock": 100,
    "value": {"amount": 500, "currency": "USD"},
    "valid_days": 365,
}


def demo(
    baskets: Annotated[
        int | None,
        typer.Option(min=1, help=f"How many baskets of the year; else {BASKETS_SLICE:,}, or what a minute allows."),
    ] = None,
    year: Annotated[bool, typer.Option("--year", help="The whole year: 155,848 baskets.")] = False,
    data_dir: Annotated[Path, typer.Option(help="The data directory of `laurel up`.")] = DATA_DIR,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The gateway's port, if Laurel has to be started.")
    ] = GATEWAY_PORT,
) -> None:
    """Send real grocery baskets through Laurel and show what they earned. Starts Laurel if it does not run."""
    console = Console(highlight=False)
    limit = None if year else baskets or BASKETS_SLICE
    patient = year or baskets is not None
    try:
        console.rule("Laurel")
        with start_if_needed(
            data_dir,
            "--port",
            str(port),
            tell=lambda line: console.print(Text(line, style="dim"), soft_wrap=True),
        ):
            holds = _main_job(data_dir, limit, None if patient else SECONDS_MAX, console)
    except LaurelError as error:
        Console(stderr=True, highlight=False).print(Text(str(error), style="red"))
        raise typer.Exit(1) from error
    if not holds:
        raise typer.Exit(2)


def _main_job(data_dir: Path, limit: int | None, seconds_max: float | None, console: Console) -> bool:
    place = find_place(data_dir)
    console.rule("A year of grocery shopping, basket by basket")
    how = HowToSend(batch_size=2_000, seconds_max=seconds_max)
    summary, members = run(place, PROGRAM, limit=limit, how=how, console=console)
    show(summary, console)
    asyncio.run(_tour(place, members, console))
    console.rule("The proof")
    return _verify(data_dir) and summary.clean


async def _tour(place: Place, members: list[str], console: Console) -> None:
    async with Gateway(place.address, place.key) as gateway:
        tour = Tour(gateway, PROGRAM)
        console.rule("What was earned")
        _show_liability(await tour.liability(), console)
        with console.status("Asking every household's balance") as status:
            earners = await tour.earners(
                members, UNIT, lambda count: status.update(f"Asking every household's balance: {count:,}")
            )
        if not earners:
            return
        _show_earners(earners, console)
        best = earners[0].member
        console.rule(f"A reward for {best}")
        await tour.offer(REWARD, _OFFER)
        _show_bought(await tour.buy(best, REWARD, f"demo-{best}"), console)
        console.rule(f"One member: {best}")
        _show_member(await tour.member(best), console)
        _show_statement(await tour.statement(best, _JOURNALS), console)


def _verify(data_dir: Path) -> bool:
    command = [sys.executable, "-m", "laurel.cli.app", "verify", "--data-dir", str(data_dir)]
    return subprocess.run(command, check=False).returncode == 0


def _show_liability(report: dict[str, Any], console: Console) -> None:
    for unit in report["units"]:
        table = Table(show_header=False, box=None, padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(justify="right")
        for name in ("granted", "redeemed", "expired", "reversed", "adjusted", "outstanding"):
            word = "issued" if name == "granted" else name
            table.add_row(f"{unit['unit']}s {word}", f"{unit[name]:,}")
        for funder in unit.get("by_funder", ()):
            who = funder.get("partner") or funder.get("funder")
            table.add_row(f"  outstanding, funded by {who}", f"{_first_number(funder):,}")
        console.print(table)


def _show_earners(earners: list[Earner], console: Console) -> None:
    table = Table(f"top {_TOP} of {len(earners):,} households", "earned", "available", box=None, padding=(0, 2))
    for column in table.columns[1:]:
        column.justify = "right"
    for earner in earners[:_TOP]:
        table.add_row(earner.member, f"{earner.earned:,}", f"{earner.available:,}")
    console.print(table)


def _show_bought(bought: Bought, console: Console) -> None:
    if bought.code:
        console.print(f"[yellow]refused[/yellow]: {bought.code}. {bought.detail}")
        return
    outcome = bought.outcome
    points = outcome.get("points", 0)
    console.print(f"{_OFFER['name']}: [green]{outcome['state']}[/green] for {points:,} {UNIT}s")
    for voucher in outcome.get("vouchers", ()):
        code = voucher.get("code") or f"…{voucher.get('suffix', '')}"
        console.print(f"  voucher {code}, worth {_dollars(voucher)}, good until {voucher['expires_at']}")
    if bought.replayed:
        console.print("  [dim]bought in an earlier demo: the same key buys once[/dim]")


def _show_member(member: dict[str, Any], console: Console) -> None:
    balance = balance_in(member, UNIT)
    said = f"[bold]{balance['available']:,}[/bold] {UNIT}s available, {balance['lifetime']['earned']:,} ever earned"
    expiry = balance.get("next_expiry")
    if expiry:
        said += f"; {expiry['amount']:,} are good until {expiry['on']}"
    console.print(said)


def _show_statement(journals: list[dict[str, Any]], console: Console) -> None:
    table = Table("when", "what", "for", UNIT + "s", box=None, padding=(0, 2))
    table.columns[3].justify = "right"
    for journal in journals:
        change = sum(
            entry["amount"] for entry in journal["entries"] if entry["unit"] == UNIT and entry["account"] == "available"
        )
        when = datetime.fromisoformat(journal.get("occurred_at") or journal["at"]).astimezone(ZONE)
        table.add_row(f"{when:%Y-%m-%d %H:%M}", journal["kind"], journal["cause"], f"{change:+,}")
    console.print(table)


def _dollars(voucher: dict[str, Any]) -> str:
    value = voucher.get("value")
    amount = value["amount"] if isinstance(value, dict) else value
    return "its reward" if amount is None else f"${amount // 100}.{amount % 100:02d}"


def _first_number(row: dict[str, Any]) -> int:
    return next(value for value in row.values() if isinstance(value, int))
