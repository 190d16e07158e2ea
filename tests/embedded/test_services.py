"""What each process of `laurel up` is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from laurel.embedded.secret_file import Secrets
from laurel.embedded.services import Role, Surroundings, environment, roles
from laurel.io.migrating import DatabaseUrls


def told(service: str, place: Path) -> dict[str, str]:
    urls = DatabaseUrls(owner="o", points="p", redemption="r", gateway="g", auditor="a")
    around = Surroundings(urls, "127.0.0.1:9092", True, place / "admin.key", Secrets.of(place))
    everybody = [Role(name, name, "both", 1) for name in ("gateway", "points", "redemption")]
    return environment(next(role for role in everybody if role.name == service), everybody, around)


def test_a_service_forgets_only_what_its_listeners_have_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told("gateway", tmp_path)["LAUREL_GATEWAY_OUTBOX_GROUPS"] == "laurel-points,laurel-redemption"
    assert told("points", tmp_path)["LAUREL_POINTS_OUTBOX_GROUPS"] == "laurel-gateway,laurel-redemption"
    # Whoever has readers of his own names them himself.
    monkeypatch.setenv("LAUREL_POINTS_OUTBOX_GROUPS", "laurel-gateway,laurel-redemption,warehouse")
    assert told("points", tmp_path)["LAUREL_POINTS_OUTBOX_GROUPS"].endswith(",warehouse")


def test_further_workers_have_names_and_ports_of_their_own() -> None:
    everybody = roles(8080, points_workers=2, redemption_workers=1)
    workers = [role.name for role in everybody if role.mode == "worker"]
    assert workers == ["gateway-worker", "points-worker-1", "points-worker-2", "redemption-worker-1"]
    assert len({role.port for role in everybody}) == len(everybody)
