"""Where a running Laurel is, and the key to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from laurel.embedded.status import DATA_DIR, read_status
from laurel.errors import LaurelError

ADDRESS = "http://127.0.0.1:8080"


class KeyMissingError(LaurelError):
    """No key was given and none was found."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address and a key for it."""

    address: str
    key: str


def find_place(data_dir: Path = DATA_DIR, *, address: str | None = None, key_file: Path | None = None) -> Place:
    """Return where to send, with which key: what was named, else what runs on the data directory, else the usual."""
    status = read_status(data_dir)
    found = address or (status.gateway if status else ADDRESS)
    if "://" not in found:
        found = f"http://{found}"
    file = key_file or Path(status.admin_key_file if status else data_dir / "admin.key")
    try:
        key = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise KeyMissingError(
            f"The key cannot be read from {file} ({error.strerror}). "
            "Start Laurel with `laurel up`, or name a key file with --key-file."
        ) from error
    if not key:
        raise KeyMissingError(f"The key file {file} is empty.")
    return Place(found.rstrip("/"), key)
