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
    return sorted(file for file in files if not file.name.endswith((".cases.yaml", ".rewards.yaml")))


def offered_beside(file: Path) -> dict[str, dict[str, Any]]:
    """Return the rewards and resources that ship with a program, by the path they are put to."""
    beside = file.with_name(f"{file.stem}.rewards.yaml")
    if not beside.is_file():
        return {}
    offered: Any = read_yaml(beside.read_text(encoding="utf-8"))
    return {
        f"{kind}/{name}": document
        for kind in ("resources", "rewards")
        for name, document in offered.get(kind, {}).items()
    }


def publish_programs(port: int, key: str, files: list[Path] | None = None) -> Iterator[Published]:
    """Publish each file with `clock: manual`, so that time moves only when told, and what it offers.

    What is there already stays. Only the last thing offered is waited for: they are done in their order.
    """
    connection = http.client.HTTPConnection(LOCALHOST, port, timeout=TIMEOUT_SECONDS)
    try:
        for file in program_files() if files is None else files:
            program = file.stem
            try:
                document: Any = read_yaml(file.read_text(encoding="utf-8"))
                body = json.dumps({**document, "clock": "manual"}, default=str)
                offered = offered_beside(file)
            except (ValueError, TypeError) as error:
                yield Published(program, str(error))
                continue
            trouble = _put(connection, key, f"/v1/programs/{program}", body)
            for number, (path, document) in enumerate(offered.items(), start=1):
                wish = "wait=20" if number == len(offered) else "respond-async"
                where = f"/v1/programs/{program}/{path}"
                trouble = trouble or _put(connection, key, where, json.dumps(document), prefer=wish)
            yield Published(program, trouble)
    finally:
        connection.close()


def _put(connection: http.client.HTTPConnection, key: str, path: str, body: str, *, prefer: str = "wait=20") -> str:
    """Put a document; say what is wrong, or nothing."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Prefer": prefer}
    connection.request("PUT", path, body.encode(), headers)
    answer = connection.getresponse()
    said = answer.read().decode("utf-8", errors="replace")
    wanted = (200, 201, 202) if prefer == "respond-async" else (200, 201)
    return "" if answer.status in wanted else f"{answer.status} {said}"
