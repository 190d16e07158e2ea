"""`laurel reseal`: what is sealed passes from one secret to another, while everything runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from laurel.embedded.reaching import database_urls
from laurel.embedded.secret_file import SECRETS_FILE, Secrets
from laurel.embedded.services import KEEPERS_OF_SECRETS
from laurel.embedded.status import DATA_DIR, read_status
from laurel.errors import LaurelError

_DataDir = Annotated[Path, typer.Option(help="The data directory of `laurel up`.")]
_Rotate = Annotated[
    bool, typer.Option("--rotate", help="Give the data directory new secrets first; they count from the next start.")
]


def reseal(data_dir: _DataDir = DATA_DIR, rotate: _Rotate = False) -> None:
    """Seal by the new secrets what the old ones sealed: keys of members, and those that things are looked up by.

    First `--rotate`, then a restart, then without it; after that nobody needs the old secrets, and they are dropped.
    Elsewhere than on a data directory, run `python -m services.gateway reseal` and `python -m services.redemption
    reseal` with the settings of the services.
    """
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    try:
        secrets = Secrets.of(data_dir.resolve())
        if rotate:
            if any(secrets.secret_before(service) for service in KEEPERS_OF_SECRETS):
                raise LaurelError("The secrets before these are still needed: run `laurel reseal` first.")
            secrets.with_new_secrets(data_dir.resolve(), KEEPERS_OF_SECRETS)
            console.print("New secrets are made. Restart `laurel up`, then run `laurel reseal`.")
            return
        urls = database_urls(data_dir)
        if _runs_on_old_secrets(data_dir):
            raise LaurelError("What runs does not know the new secrets yet: restart `laurel up`, then run this again.")
        for service in KEEPERS_OF_SECRETS:
            console.print(f"{service}: {_sealed(service, urls.of(service), secrets):,} sealed anew")
        secrets.without_old_secrets(data_dir.resolve())
    except (LaurelError, OSError) as error:
        console.print(f"[red]Cannot reseal:[/red] {escape(str(error))}")
        raise typer.Exit(1) from error


def _runs_on_old_secrets(data_dir: Path) -> bool:
    """Say whether what runs was started before the secrets were made: it could not open what is sealed by them."""
    import psutil

    status = read_status(data_dir)
    changed_at = (data_dir / SECRETS_FILE).stat().st_mtime
    return status is not None and psutil.Process(status.supervisor).create_time() < changed_at


def _sealed(service: str, url: str, secrets: Secrets) -> int:
    """Have a service seal its own rows: it alone knows them. It needs no broker for that."""
    prefix = f"LAUREL_{service.upper()}_"
    told = {"DATABASE_URL": url, "SECRET": secrets.service_secret(service), "KAFKA_BOOTSTRAP": "127.0.0.1:9"}
    before = secrets.secret_before(service)
    if before is not None:
        told["SECRET_BEFORE"] = before
    environment = {**os.environ, **{prefix + name: value for name, value in told.items()}}
    command = [sys.executable, "-m", f"services.{service}", "reseal"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LaurelError(f"{service} could not seal its rows: {done.stderr.strip().splitlines()[-1:]}")
    return int(json.loads(done.stdout)["sealed"])
