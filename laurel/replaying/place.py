"""Where a running Laurel is, and the key to it, as `laurel up` left them in its data directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from laurel.errors import LaurelError

DATA_DIR = Path(".laurel")
ADDRESS = "http://127.0.0.1:8080"


class KeyMissingError(LaurelError):
    """No key was given and none was found."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address and a key for it."""

    address: str
    key: str


def find_place(
    data_dir: Path = DATA_DIR, *, address: str | None = None, key_file: Path | None = None
) -> Place:
    """Return where to send, with which key: what was named, else what `laurel up` wrote, else the usual."""
    status = _status(data_dir)
    found = address or str(status.get("gateway") or ADDRESS)
    if "://" not in found:
        found = f"http://{found}"
    file = key_file or Path(str(status.get("admin_key_file") or data_dir / "admin.key"))
    try:
        key = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise KeyMissingError(
            f"The key cannot be read from {file} ({error.strerror}). "
            "Start Laurel with `laurel up`, or name a key file."
        ) from error
    if not key:
        raise KeyMissingError(f"The key file {file} is empty.")
    return Place(found.rstrip("/"), key)


def _status(data_dir: Path) -> dict[str, object]:
    try:
        status = json.loads((data_dir / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}
