"""The secrets of one data directory, made once and readable by its owner only."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path

from laurel.io.migrating import ROLES

SECRETS_FILE = "secrets.json"


def write_private(path: Path, text: str) -> None:
    """Write the file whole or not at all, with mode 600 from its first byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
            sink.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class Secrets:
    """Passwords of the database roles, the secrets of services, and a name for what lies outside the data directory."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    @classmethod
    def of(cls, data_dir: Path) -> Secrets:
        """Read the file, or make it; a secret that an older file lacks is added."""
        path = data_dir / SECRETS_FILE
        values: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        missing = {
            name: secrets.token_hex(24)
            for name in ("admin", *ROLES, "gateway_secret", "redemption_secret", "codes_token", "place")
            if name not in values
        }
        if missing:
            values |= missing
            write_private(path, json.dumps(values, indent=2) + "\n")
        return cls(values)

    @property
    def passwords(self) -> dict[str, str]:
        """By role: `admin` (the cluster's superuser) and the roles of `laurel.io.migrating`."""
        return {role: self._values[role] for role in ("admin", *ROLES)}

    def service_secret(self, service: str) -> str:
        """What the gateway hashes identifiers with, and redemption seals voucher codes with."""
        return self._values[f"{service}_secret"]

    def secret_before(self, service: str) -> str | None:
        """What it sealed with until now, while that is sealed anew."""
        return self._values.get(f"{service}_secret_before")

    def with_new_secrets(self, data_dir: Path, services: Iterable[str]) -> Secrets:
        """Give services new secrets in the file; those until now are kept until `without_old_secrets`."""
        values = dict(self._values)
        for service in services:
            values[f"{service}_secret_before"] = values[f"{service}_secret"]
            values[f"{service}_secret"] = secrets.token_hex(24)
        write_private(data_dir / SECRETS_FILE, json.dumps(values, indent=2) + "\n")
        return Secrets(values)

    def without_old_secrets(self, data_dir: Path) -> Secrets:
        """Forget the secrets that seal nothing any more."""
        values = {name: value for name, value in self._values.items() if not name.endswith("_secret_before")}
        write_private(data_dir / SECRETS_FILE, json.dumps(values, indent=2) + "\n")
        return Secrets(values)

    @property
    def codes_token(self) -> str:
        """What the gateway shows redemption to be told voucher codes."""
        return self._values["codes_token"]

    @property
    def place(self) -> str:
        """Names a directory elsewhere that belongs to this data directory and to no other."""
        return self._values["place"][:16]
