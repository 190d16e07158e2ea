"""`laurel`: the command line, and which module answers which command."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module

import typer

COMMANDS = {
    "up": "laurel.cli.up:up",
    "status": "laurel.cli.status:status",
    "replay": "laurel.cli.replay:replay",
    "demo": "laurel.cli.demo:demo",
    "verify": "laurel.cli.verify:verify",
    "dead": "laurel.cli.dead:dead",
    "program": "laurel.cli.program:program",
    "rebuild": "laurel.cli.rebuild:rebuild",
    "reseal": "laurel.cli.reseal:reseal",
    "migrate": "laurel.cli.migrate:migrate",
    "republish": "laurel.cli.republish:republish",
    "raise-epoch": "laurel.cli.raise_epoch:raise_epoch",
}
"""A command, and the function or the group of commands that answers it."""


def app_of(commands: Iterable[str]) -> typer.Typer:
    """The command line with these commands."""
    app = typer.Typer(
        name="laurel",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,
    )

    @app.callback()
    def laurel() -> None:
        """Laurel: points and rewards from declarative programs."""

    for name in commands:
        module, _, attribute = COMMANDS[name].partition(":")
        answering = getattr(import_module(module), attribute)
        if isinstance(answering, typer.Typer):
            app.add_typer(answering, name=name)
        else:
            app.command(name)(answering)
    return app


def main() -> None:
    """Load only what was asked for: the rest would double the time until the first word."""
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    app_of([asked] if asked in COMMANDS else COMMANDS)()


if __name__ == "__main__":
    main()
