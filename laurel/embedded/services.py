"""Which processes `laurel up` runs, and what each is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from laurel.embedded.children import Child
from laurel.embedded.forking import Forked
from laurel.embedded.ports import LOCALHOST, free_port
from laurel.embedded.secret_file import Secrets
from laurel.io.accounting import HEARS
from laurel.io.migrating import DatabaseUrls

GATEWAY_PORT = 8080
EMBEDDED_PARTITIONS = 4
"""As many workers as one machine has use for; every fetch names all partitions."""
EMBEDDED_SESSION_TIMEOUT_MS = 4_000
"""On one machine, who is silent for so long is dead."""
KEEPERS_OF_SECRETS = ("gateway", "redemption")


@dataclass(frozen=True, slots=True)
class Role:
    """One process of a service."""

    name: str
    service: str
    mode: str
    port: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all services are told alike."""

    databases: DatabaseUrls
    kafka: str
    embedded_broker: bool
    admin_key_file: Path
    secrets: Secrets


def roles(gateway_port: int, points_workers: int, redemption_workers: int) -> list[Role]:
    """The gateway's port is the one people know; everybody else takes what is free."""
    return [
        Role("gateway", "gateway", "api", gateway_port),
        Role("gateway-worker", "gateway", "worker", free_port()),
        Role("points", "points", "both", free_port()),
        *_further("points", points_workers),
        Role("redemption", "redemption", "both", free_port()),
        *_further("redemption", redemption_workers),
    ]


def _further(service: str, workers: int) -> list[Role]:
    return [Role(f"{service}-worker-{number}", service, "worker", free_port()) for number in range(1, workers + 1)]


def environment(role: Role, everybody: list[Role], around: Surroundings) -> dict[str, str]:
    """The settings of one process, on top of what the caller's environment says of Laurel."""
    prefix = f"LAUREL_{role.service.upper()}_"
    settings: dict[str, object] = {
        "DATABASE_URL": around.databases.of(role.service),
        "KAFKA_BOOTSTRAP": around.kafka,
        "HTTP_HOST": LOCALHOST,
        "HTTP_PORT": role.port,
        "LOG_JSON": False,
    }
    if around.embedded_broker:
        settings |= {
            "KAFKA_PARTITIONS": EMBEDDED_PARTITIONS,
            "KAFKA_SESSION_TIMEOUT_MS": EMBEDDED_SESSION_TIMEOUT_MS,
        }
    if role.service == "gateway":
        settings |= {
            "POINTS_URL": _address_of("points", everybody),
            "REDEMPTION_URL": _address_of("redemption", everybody),
            "REDEMPTION_CODES_TOKEN": around.secrets.codes_token,
            "ADMIN_KEY_FILE": around.admin_key_file,
        }
    if role.service == "redemption":
        settings["CODES_TOKEN"] = around.secrets.codes_token
    if role.service in KEEPERS_OF_SECRETS:
        settings["SECRET"] = around.secrets.service_secret(role.service)
        before = around.secrets.secret_before(role.service)
        if before is not None:
            settings["SECRET_BEFORE"] = before
    own = {prefix + name: _as_text(value) for name, value in settings.items()}
    # Whoever has readers of his own names them himself.
    return {prefix + "OUTBOX_GROUPS": _listeners(role.service), **_given(), **own}


def start_service(role: Role, log: Path, told: Mapping[str, str]) -> Child:
    """Start a process of a service: by a fork where that is safe, since most of a start is the loading of libraries."""
    module = f"services.{role.service}"
    if sys.platform == "linux":
        return Forked(role.name, module, [role.mode], log=log, environment=told)
    else:  # noqa: RET505 - the type checker looks at one platform at a time
        return Child(role.name, [sys.executable, "-m", module, role.mode], log=log, environment=told)


def _address_of(name: str, everybody: list[Role]) -> str:
    port = next(role.port for role in everybody if role.name == name)
    return f"http://{LOCALHOST}:{port}"


def _listeners(speaker: str) -> str:
    """Name the groups that must have read what a service says before it may forget it."""
    return ",".join(f"laurel-{listener}" for listener, heard in HEARS.items() if speaker in heard)


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _given() -> Mapping[str, str]:
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        # Many arenas of a threaded allocator keep memory that one would have given back.
        "MALLOC_ARENA_MAX": "2",
    }
