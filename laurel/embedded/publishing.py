"""Put every program of a directory into a running gateway, as sandboxes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from laurel.embedded.ports import LOCALHOST
from laurel.program.reading import read_yaml

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Published:
    """What became of one program file; `trouble` is empty when the program is there now."""

    program: str
    trouble: str = ""


def program_files() -> list[Path]:
    """The programs that ship with Laurel, without their cases."""
    spec = find_spec("programs")
    # An editable install may name the same place twice.
    places = {Path(place).resolve() for place in (spec.submodule_search_locations or ())} if spec else set()
    files = (file for place in places for file in place.glob("*.yaml"))
    return sorted(file for file in files if not file.name.endswith(".cases.yaml"))


def publish_programs(port: int, key: str, files: list[Path] | None = None) -> Iterator[Published]:
    """Publish each file with `clock: manual`, so that time moves only when told; what is there already stays."""
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=TIMEOUT_SECONDS)
    try:
        for file in program_files() if files is None else files:
            program = file.stem
            try:
                document: Any = read_yaml(file.read_text(encoding="utf-8"))
                body = json.dumps({**document, "clock": "manual"}, default=str)
            except (ValueError, TypeError) as error:
                yield Published(program, str(error))
                continue
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            connection.request("PUT", f"/v1/programs/{program}", body.encode(), headers)
            answer = connection.getresponse()
            said = answer.read().decode("utf-8", errors="replace")
            yield Published(program, "" if answer.status in (200, 201) else f"{answer.status} {said}")
    finally:
        connection.close()
