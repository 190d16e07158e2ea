"""`laurel program`: look at a program document before it is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from laurel.errors import Fault
from laurel.program import CompiledProgram
from laurel.program.cases import cases_path, load_cases
from laurel.program.faults import ProgramFaults
from laurel.program.loading import load_program
from laurel.program.rehearsing import rehearse

program = typer.Typer(help="Look at program documents.", no_args_is_help=True)


@program.callback()
def group() -> None:
    """Look at program documents."""


@program.command()
def validate(
    file: Annotated[Path, typer.Argument(help="A program document, YAML or JSON.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the faults as JSON.")] = False,
) -> None:
    """Say everything that is wrong with a document, each with its JSON Pointer. Exit code 1 when something is."""
    faults = faults_in(file)
    if as_json:
        print(json.dumps({"file": str(file), "errors": [fault.document() for fault in faults]}, indent=2))
    else:
        _show(file, faults)
    if faults:
        raise typer.Exit(1)


@program.command()
def test(
    file: Annotated[Path, typer.Argument(help="A program document; its examples stand beside it in *.cases.yaml.")],
) -> None:
    """Play every example of a program on paper and say where it comes out otherwise. Exit code 1 when one does."""
    console = Console(highlight=False, soft_wrap=True)
    faults = faults_in(file)
    if faults:
        _show(file, faults)
        raise typer.Exit(1)
    compiled = CompiledProgram.from_document(load_program(file.read_bytes()), 1)
    try:
        cases = load_cases(cases_path(file).read_text(encoding="utf-8"))
    except OSError as error:
        console.print(f"There are no examples: {cases_path(file)}: {error.strerror}")
        raise typer.Exit(1) from error
    except ProgramFaults as found:
        _show(cases_path(file), list(found.faults))
        raise typer.Exit(1) from found
    failed = 0
    for case in cases.cases:
        differences = rehearse(compiled, case)
        failed += bool(differences)
        for difference in differences:
            console.print(difference)
    console.print(f"{len(cases.cases) - failed} of {len(cases.cases)} examples of {compiled.program} hold.")
    if failed:
        raise typer.Exit(1)


def faults_in(file: Path) -> list[Fault]:
    """What is wrong with a file, down to that it cannot be read."""
    try:
        text = file.read_bytes()
    except OSError as error:
        return [Fault("", "unreadable", f"{file}: {error.strerror}")]
    try:
        load_program(text, syntax="json" if file.suffix == ".json" else None)
    except ProgramFaults as found:
        return list(found.faults)
    return []


def _show(file: Path, faults: list[Fault]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not faults:
        console.print(f"{file} is a valid program.")
        return
    console.print(f"{file} has {len(faults)} fault{'' if len(faults) == 1 else 's'}:")
    for fault in faults:
        where = fault.pointer or "(the whole document)"
        console.print(Text("  ").append(where, "cyan").append(f"  {fault.code}: {fault.detail}"))
