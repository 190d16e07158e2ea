"""`laurel replay SOURCE`: a year of real baskets through the gateway."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from laurel.embedded.status import DATA_DIR
from laurel.errors import LaurelError
from laurel.replaying.complete_journey import BASKETS, baskets, products
from laurel.replaying.gateway import Gateway
from laurel.replaying.place import Place, find_place
from laurel.replaying.sending import HowToSend, Replay
from laurel.replaying.summary import ReplaySummary


class Source(StrEnum):
    """What can be replayed."""

    COMPLETEJOURNEY = "completejourney"


def replay(
    source: Annotated[Source, typer.Argument(help="What to replay: one year of grocery baskets.")],
    baskets: Annotated[int | None, typer.Option(min=1, help="Only the first so many of the year.")] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="So many times faster than it happened; else as fast as it is taken."),
    ] = None,
    one_by_one: Annotated[bool, typer.Option(help="One request a basket, not batches.")] = False,
    gateway: Annotated[str | None, typer.Option(help="The gateway's address; else `laurel up`'s.")] = None,
    key_file: Annotated[Path | None, typer.Option(help="The file with the key; else `laurel up`'s.")] = None,
    program: Annotated[str, typer.Option(help="The program that the baskets earn in.")] = "grocery",
    batch_size: Annotated[int, typer.Option(min=1, max=50_000, help="Baskets in a batch.")] = 10_000,
    gzip: Annotated[bool, typer.Option("--gzip", help="Send batches compressed.")] = False,
    data_dir: Annotated[Path, typer.Option(help="The data directory of `laurel up`.")] = DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Send real baskets through the gateway; a second time changes nothing."""
    assert source is Source.COMPLETEJOURNEY
    console = Console(stderr=as_json)
    how = HowToSend(batch_size=batch_size, gzip=gzip, one_by_one=one_by_one, times_faster=speed)
    try:
        place = find_place(data_dir, address=gateway, key_file=key_file)
        summary, _ = run(place, program, limit=baskets, how=how, console=console)
    except LaurelError as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    if as_json:
        print(json.dumps(summary.document()))
    else:
        show(summary, console)
    if not summary.clean:
        raise typer.Exit(2)


def run(
    place: Place, program: str, *, limit: int | None, how: HowToSend, console: Console
) -> tuple[ReplaySummary, list[str]]:
    """Replay under a progress bar; return what became of the baskets, and the members they belong to."""
    with _bar(console) as bar:
        task = bar.add_task("Reading products", total=min(limit or BASKETS, BASKETS), points="")

        def progress(so_far: ReplaySummary) -> None:
            bar.update(
                task,
                description="Sending baskets" if so_far.answered else "Enrolling households",
                completed=so_far.answered,
                points=_points(so_far),
            )

        async def go() -> tuple[ReplaySummary, list[str]]:
            async with Gateway(place.address, place.key) as gateway:
                replay = Replay(gateway, program, products(), how, progress)
                summary = await replay.run(baskets(limit))
                return summary, replay.households

        summary, members = asyncio.run(go())
        bar.update(task, description="Baskets sent", total=summary.sent, completed=summary.answered)
    return summary, members


def show(summary: ReplaySummary, console: Console) -> None:
    """Print what became of the baskets."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, count in (
        ("baskets sent", summary.sent),
        ("posted", summary.posted),
        ("duplicates (changed nothing)", summary.duplicate),
        ("refused", summary.refused),
        ("rejected", summary.rejected),
        ("pending", summary.pending),
        ("households newly enrolled", summary.enrolled),
    ):
        if count or name in ("baskets sent", "posted"):
            table.add_row(name, f"{count:,}")
    for unit, amount in sorted(summary.awarded.items()):
        table.add_row(f"{unit}s awarded", f"{amount:,}")
    for code, count in summary.codes.most_common():
        table.add_row(f"  {code}", f"{count:,}")
    rate = summary.answered / summary.seconds if summary.seconds else 0.0
    table.add_row("seconds", f"{summary.seconds:,.1f} ({rate:,.0f} baskets/s)")
    console.print(table)


def _points(summary: ReplaySummary) -> str:
    return ", ".join(f"{amount:,} {unit}s" for unit, amount in sorted(summary.awarded.items()))


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[points]}", style="green"),
        console=console,
        refresh_per_second=5,
    )
