"""`laurel rebuild`: what the gateway shows is made anew from the rows of those who own it, while everything runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from laurel.embedded.ports import LOCALHOST
from laurel.embedded.reaching import NotRunningError, database_urls
from laurel.embedded.secret_file import Secrets
from laurel.embedded.status import DATA_DIR, Status, read_status
from laurel.errors import LaurelError

PARTS = ("rewards", "redemptions", "operations", "members", "activities")
"""What can be made anew."""

_Parts = Annotated[list[str] | None, typer.Argument(help=f"{', '.join(PARTS)}; all of them if none is named.")]
_Programs = Annotated[list[str] | None, typer.Option("--program", help="Only this program; may be said again.")]
_DataDir = Annotated[Path, typer.Option(help="The data directory of `laurel up`.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


def rebuild(
    what: _Parts = None, program: _Programs = None, data_dir: _DataDir = DATA_DIR, as_json: _Json = False
) -> None:
    """Make what the gateway shows of others anew: members, activities, operations, redemptions and rewards.

    Everything goes on meanwhile, and it may be stopped and begun again at any time. Exit code 0: done; 1: it could not
    be finished, and what was done is right; 2: what was asked makes no sense.

    Elsewhere than on a data directory, run `python -m services.gateway rebuild` with the gateway's settings.
    """
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    for name in what or ():
        if name not in PARTS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(PARTS)}.")
    wrong: dict[str, Any] = {}
    left: dict[tuple[str, str], list[str]] = {}
    try:
        for line in _rebuilt(data_dir, program or (), what or ()):
            wrong = line if "code" in line else {}
            if not wrong:
                left[line["program"], line["owner"]] = line["left"]
            if as_json:
                print(json.dumps(line))
            elif not wrong:
                console.print(_progress(line))
    except (LaurelError, OSError) as error:
        wrong = {"code": "unavailable", "detail": str(error)}
    said = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
    for (name, _), members in left.items():
        for member in members:
            said.print(f"[red]Left as it was:[/red] {escape(f'{name}: {member}')}")
    if wrong:
        said.print(f"[red]Cannot rebuild:[/red] {escape(wrong['detail'])}")
        raise typer.Exit(2 if wrong["code"] == "program_unknown" else 1)
    raise typer.Exit(1 if any(left.values()) else 0)


def _progress(line: dict[str, Any]) -> str:
    upto = f", up to {line['last']}" if line["last"] else ""
    told = f"{line['members']:,} members told by {line['owner']}{upto}; {line['mended']:,} rows mended"
    return escape(f"{line['program']}: {told}")


def _rebuilt(data_dir: Path, programs: Sequence[str], parts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Have the gateway do it: it alone knows its rows. It needs no broker for that."""
    status = read_status(data_dir)
    if status is None:
        raise NotRunningError(data_dir)
    command = [sys.executable, "-m", "services.gateway", "rebuild", *parts]
    command += [word for name in programs for word in ("--program", name)]
    with subprocess.Popen(
        command,
        env={**os.environ, **_told(data_dir, status)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        is_explained = False
        for text in process.stdout:
            line = json.loads(text)
            is_explained = is_explained or "code" in line or bool(line["left"])
            yield line
        errors = process.stderr.read().strip().splitlines()
        if process.wait() != 0 and not is_explained:
            raise LaurelError(f"the gateway could not: {errors[-1] if errors else 'it did not say why'}")


def _told(data_dir: Path, status: Status) -> dict[str, str]:
    secrets = Secrets.of(data_dir.resolve())
    told = {
        "DATABASE_URL": database_urls(data_dir).of("gateway"),
        "SECRET": secrets.service_secret("gateway"),
        "KAFKA_BOOTSTRAP": "127.0.0.1:9",
        "POINTS_URL": f"http://{LOCALHOST}:{status.services['points'].port}",
        "REDEMPTION_URL": f"http://{LOCALHOST}:{status.services['redemption'].port}",
    }
    return {f"LAUREL_GATEWAY_{name}": value for name, value in told.items()}
