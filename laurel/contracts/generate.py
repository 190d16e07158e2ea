"""Writes the JSON Schema of each event and the AsyncAPI document: `python -m laurel.contracts.generate`.

`--check` writes nothing and fails where the committed files differ from the classes. Writing, too, fails
where a field would go, change its type or become required, because others read it; such a change is a new
version of the event beside the old one. `--breaking` is for events that nobody has heard yet.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from laurel.contracts.documents import asyncapi, schema_of
from laurel.contracts.evolution import breaks
from laurel.contracts.registry import EVENTS

HERE: Final = Path(__file__).parent


@cache
def generated() -> Mapping[str, str]:
    """Return every generated file: its path below this package, and its text. Classes stay what they are."""
    schemas = {f"schemas/{name}.json": schema_of(kind) for name, kind in EVENTS.items()}
    documents: dict[str, Any] = {**schemas, "asyncapi.json": asyncapi()}
    texts = {path: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for path, document in documents.items()}
    return MappingProxyType(texts)


def differences(files: Mapping[str, str], root: Path = HERE) -> Iterator[str]:
    """Say which committed files are missing, differ, or belong to no class."""
    for path, text in files.items():
        there = root / path
        if not there.exists():
            yield f"{path} is missing"
        elif there.read_text(encoding="utf-8") != text:
            yield f"{path} differs from its class"
    for there in sorted((root / "schemas").glob("*.json")):
        if f"schemas/{there.name}" not in files:
            yield f"schemas/{there.name} belongs to no class"


def broken_promises(files: Mapping[str, str], root: Path = HERE) -> Iterator[str]:
    """Say what readers of the committed schemas could no longer rely on."""
    for there in sorted((root / "schemas").glob("*.json")):
        path = f"schemas/{there.name}"
        if path not in files:
            yield f"{path}: the event is gone"
            continue
        for broken in breaks(json.loads(there.read_text(encoding="utf-8")), json.loads(files[path])):
            yield f"{path}: {broken}"


def write(files: Mapping[str, str], root: Path = HERE) -> None:
    """Write the files, and remove schemas that belong to no class."""
    (root / "schemas").mkdir(exist_ok=True)
    for there in (root / "schemas").glob("*.json"):
        if f"schemas/{there.name}" not in files:
            there.unlink()
    for path, text in files.items():
        (root / path).write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None, root: Path = HERE) -> int:
    """Generate or check; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m laurel.contracts.generate", description="JSON Schemas and AsyncAPI"
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    parser.add_argument("--breaking", action="store_true", help="write even what breaks readers")
    asked = parser.parse_args(arguments)
    files = generated()
    wrong = list(differences(files, root)) if asked.check else []
    if not asked.check and not asked.breaking:
        wrong = list(broken_promises(files, root))
    for line in wrong:
        sys.stderr.write(f"{line}\n")
    if wrong:
        return 1
    if not asked.check:
        write(files, root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
