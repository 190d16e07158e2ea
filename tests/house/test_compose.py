"""docker-compose.yml cannot be run everywhere; what can be read from it is checked here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from laurel.io.accounting import HEARS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("gateway", "points", "redemption")
ASKED_FOR = re.compile(r"\$\{(\w+):\?[^}]+\}")


def test_all_parts_are_there() -> None:
    assert set(SERVICES) == {"postgres", "kafka", "migrate", *OURS}


def test_versions_are_named() -> None:
    assert SERVICES["postgres"]["image"] == "postgres:18"
    assert re.fullmatch(r"apache/kafka:4\.\d+\.\d+", SERVICES["kafka"]["image"])


def test_kafka_runs_without_zookeeper() -> None:
    environment = SERVICES["kafka"]["environment"]
    assert environment["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.mark.parametrize("name", ["postgres", "kafka", *OURS])
def test_what_stays_up_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"]
    assert check["retries"] >= 3


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_everything_has_limits(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[MG]", limits["memory"])


@pytest.mark.parametrize("name", [*OURS, "migrate"])
def test_our_image_runs_with_few_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", OURS)
def test_services_wait_for_migrations_and_broker(name: str) -> None:
    assert SERVICES[name]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "kafka": {"condition": "service_healthy"},
    }


def test_migrations_wait_for_the_database_and_run_once() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["migrate"]["restart"] == "no"


def test_no_password_has_a_default() -> None:
    """Each secret must be given: no value in the file, and no fall-back."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|DATABASE_URL|CLUSTER_ID", name):
                assert ASKED_FOR.search(str(value)), f"{name}={value}"
    for match in re.finditer(r"://[^:/\s]+:([^@\s]+)@", TEXT):
        assert ASKED_FOR.fullmatch(match.group(1)), match.group(0)
    assert not re.search(r"\$\{\w*(PASSWORD|SECRET)\w*:?-", TEXT)


def test_example_names_every_variable_and_fills_none() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    named = dict(line.split("=", 1) for line in example.splitlines() if line and not line.startswith("#"))
    assert set(named) == set(ASKED_FOR.findall(TEXT))
    assert not any(named.values())


@pytest.mark.parametrize("name", OURS)
def test_settings_carry_the_prefix_of_their_service(name: str) -> None:
    assert all(variable.startswith(f"LAUREL_{name.upper()}_") for variable in SERVICES[name]["environment"])


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_said_is_dropped_once_its_listeners_have_read_it(name: str) -> None:
    groups = SERVICES[name]["environment"][f"LAUREL_{name.upper()}_OUTBOX_GROUPS"].split(",")
    assert sorted(groups) == sorted(f"laurel-{listener}" for listener, heard in HEARS.items() if name in heard)


def test_only_the_gateway_is_reachable_and_only_from_this_host() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"gateway"}
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["gateway"]["ports"])
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == {"gateway"}


def test_image_is_built_in_stages_and_runs_as_nobody_special() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert len(re.findall(r"^FROM ", dockerfile, re.MULTILINE)) == 2
    last = dockerfile.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+)$", last, re.MULTILINE)
    assert user is not None
    assert int(user.group(1)) >= 1000
    assert not re.search(r"^(ENV|ARG).*(PASSWORD|SECRET)", dockerfile, re.MULTILINE)
