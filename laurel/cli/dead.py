"""`laurel dead`: messages that could not be processed, shown, tried again, given up."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from laurel.embedded.reaching import database_urls
from laurel.embedded.status import DATA_DIR
from laurel.errors import LaurelError
from laurel.io import parking
from laurel.io.database import Database
from laurel.io.migrating import SCHEMAS
from laurel.io.outbox import Outbox
from laurel.io.unit import UnitOfWork

T = TypeVar("T")

NOBODY = "-"
"""Stands for the member of a message that has none, so that it can be typed."""

dead = typer.Typer(help="Messages that could not be processed.", no_args_is_help=True)

Service = Annotated[str, typer.Argument(help=f"Whose message: {', '.join(SCHEMAS)}.")]
Program = Annotated[str, typer.Argument(help="Its program.")]
Member = Annotated[str, typer.Argument(help=f"Its member; {NOBODY} when it has none.")]
Source = Annotated[str, typer.Argument(help="Where it came from.")]
Sequence = Annotated[int, typer.Argument(help="Its number there.")]
DataDir = Annotated[Path, typer.Option(help="The data directory of `laurel up`.")]
DatabaseUrl = Annotated[
    str | None, typer.Option(help="The database with the service's role, when `laurel up` does not run it.")
]
Note = Annotated[str, typer.Option(help="Why; kept with the action.")]


@dead.command("list")
def list_parked(
    service: Annotated[str | None, typer.Argument(help="Only those of this service.")] = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="Also those that wait behind another.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most per service.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    data_dir: DataDir = DATA_DIR,
    database: DatabaseUrl = None,
) -> None:
    """List parked messages, oldest first. The first line of each names it to the other commands."""
    found = 0
    for schema in SCHEMAS if service is None else (service,):

        async def ask(db: Database) -> list[parking.Parked]:
            async with db.transaction() as connection:
                return await parking.parked_messages(connection, limit=limit, waiting=waiting)

        for parked in _run(schema, data_dir, database, ask):
            found += 1
            if as_json:
                print(json.dumps({"service": schema, **_document(parked)}))
            else:
                print("\n".join(_lines(schema, parked)))
    if not found and not as_json:
        print("Nothing is parked.")


def _lines(schema: str, parked: parking.Parked) -> Iterator[str]:
    """For people: whole lines, however narrow the terminal, for the first one is to be copied."""
    yield f"{schema} {parked.program or NOBODY} {parked.member or NOBODY} {parked.source} {parked.sequence}"
    at = parked.parked_at.isoformat(timespec="seconds")
    behind = f", {parked.behind} behind it" if parked.behind else ""
    yield f"  {_plain(parked.type or 'no event')}: {parked.reason}, since {at}{behind}"
    if parked.detail:
        yield f"  {_plain(parked.detail)}"


def _plain(text: str) -> str:
    """What is parked may say anything, also what a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text)


@dead.command()
def show(
    service: Service,
    program: Program,
    member: Member,
    source: Source,
    sequence: Sequence,
    data_dir: DataDir = DATA_DIR,
    database: DatabaseUrl = None,
) -> None:
    """Show one parked message with headers and body, as JSON."""

    async def ask(db: Database) -> parking.ParkedDocument:
        async with db.transaction() as connection:
            return await parking.show(connection, _place(program, member, source, sequence))

    document = _run(service, data_dir, database, ask)
    body: Any
    try:
        body = json.loads(document.body)
    except ValueError:
        body = document.body.decode("utf-8", "backslashreplace")
    whole = {"service": service, **_document(document.parked), "headers": document.headers, "body": body}
    print(json.dumps(whole, indent=2))


@dead.command()
def retry(
    service: Service,
    program: Program,
    member: Member,
    source: Source,
    sequence: Sequence,
    note: Note = "",
    data_dir: DataDir = DATA_DIR,
    database: DatabaseUrl = None,
) -> None:
    """Have a message, and then those behind it, tried again in order; a worker does it within a second or two."""

    async def ask(db: Database) -> None:
        unit = UnitOfWork(db, await Outbox.load(service, db))
        async with unit.begin() as work:
            await parking.retry(work, _place(program, member, source, sequence), actor=_actor(), note=note)

    _run(service, data_dir, database, ask)
    print("It will be tried again; `laurel dead list` shows what becomes of it.")


@dead.command()
def discard(
    service: Service,
    program: Program,
    member: Member,
    source: Source,
    sequence: Sequence,
    note: Annotated[str, typer.Option(help="Why; kept with the action.")],
    data_dir: DataDir = DATA_DIR,
    database: DatabaseUrl = None,
) -> None:
    """Give a message up: its caller's request ends as refused, and those behind it go on."""

    async def ask(db: Database) -> None:
        # Without a relay at hand the service's own publishes it, when it next looks.
        unit = UnitOfWork(db, await Outbox.load(service, db))
        async with unit.begin() as work:
            await parking.discard(work, _place(program, member, source, sequence), actor=_actor(), note=note)

    _run(service, data_dir, database, ask)
    print("It is discarded.")


def _run(service: str, data_dir: Path, database: str | None, ask: Callable[[Database], Awaitable[T]]) -> T:
    """Do it in the service's schema, with its role."""
    if service not in SCHEMAS:
        raise typer.BadParameter(f"{service!r} is none of {', '.join(SCHEMAS)}.")

    async def go() -> T:
        url = database or database_urls(data_dir).of(service)
        db = await Database.connect(url, schema=service, application="laurel dead", pool_max=2)
        try:
            return await ask(db)
        finally:
            await db.close()

    try:
        return asyncio.run(go())
    except parking.NotParked as error:
        raise _failed(f"There is no such parked message: {error}") from error
    except (LaurelError, OSError) as error:
        raise _failed(str(error)) from error


def _failed(why: str) -> typer.Exit:
    Console(stderr=True, highlight=False, soft_wrap=True).print(why, style="red", markup=False)
    return typer.Exit(1)


def _place(program: str, member: str, source: str, sequence: int) -> tuple[str, str, str, int]:
    return ("" if program == NOBODY else program, "" if member == NOBODY else member, source, sequence)


def _document(parked: parking.Parked) -> dict[str, Any]:
    return {
        "program": parked.program,
        "member": parked.member,
        "source": parked.source,
        "sequence": parked.sequence,
        "topic": parked.topic,
        "type": parked.type,
        "reason": parked.reason,
        "detail": parked.detail,
        "parked_at": parked.parked_at.isoformat(),
        "correlation": parked.correlation,
        "behind": parked.behind,
    }


def _actor() -> str:
    """Who types, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
