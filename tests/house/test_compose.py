"""docker-compose.yml cannot be run everywhere; what can be read from it is checked here."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator
from pydantic_settings import BaseSettings

from laurel.cli.migrate import PASSWORDS_PREFIX
from laurel.io.accounting import HEARS
from laurel.io.migrating import ROLES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("gateway", "points", "redemption")
ASKED_FOR = re.compile(r"\$\{(\w+):\?[^}]+\}")
SPECIFICATION = Draft201909Validator(
    json.loads((Path(__file__).parent / "compose_spec" / "compose-spec.json").read_text(encoding="utf-8"))
)


def faults(document: dict[str, Any]) -> list[str]:
    return [f"{fault.json_path}: {fault.message}" for fault in SPECIFICATION.iter_errors(document)]


def test_file_is_what_compose_specifies() -> None:
    assert faults(COMPOSE) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda services: services["points"].update(healtcheck=services["points"].pop("healthcheck")),
        lambda services: services["points"]["healthcheck"].update(retry=3),
        lambda services: services["points"]["deploy"]["resources"]["limits"].update(mem="1G"),
        lambda services: services["gateway"]["depends_on"]["kafka"].update(condition="service_ready"),
        lambda services: services["kafka"].update(volumes={"kafka": "/var/lib"}),
        lambda services: services["kafka"]["environment"].update(KAFKA_NODE={"id": 1}),
    ],
)
def test_key_that_compose_does_not_know_is_found(spoil: Callable[[dict[str, Any]], None]) -> None:
    spoiled = copy.deepcopy(COMPOSE)
    spoil(spoiled["services"])
    assert faults(spoiled)


def test_what_is_referred_to_is_there() -> None:
    """The schema knows names' shapes, not whether anything of that name exists."""
    for name, service in SERVICES.items():
        assert set(service["networks"]) <= COMPOSE["networks"].keys(), name
        assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= COMPOSE["volumes"].keys(), name
        assert service.get("depends_on", {}).keys() <= SERVICES.keys(), name


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


def unknown_settings(service: str, variables: set[str]) -> set[str]:
    """Variables that no field of the service's settings reads: settings pass over what they do not know."""
    settings = _settings_of(service)
    prefix = settings.model_config["env_prefix"]
    assert prefix == f"LAUREL_{service.upper()}_"
    return variables - {prefix + field.upper() for field in settings.model_fields}


def _settings_of(service: str) -> type[BaseSettings]:
    module = import_module(f"services.{service}.settings")
    found: type[BaseSettings] = getattr(module, f"{service.capitalize()}Settings")
    return found


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting_of_its_service(name: str) -> None:
    variables = set(SERVICES[name]["environment"])
    assert unknown_settings(name, variables) == set()
    misspelt = f"LAUREL_{name.upper()}_KAFKA_BOOTSTRAPS"
    assert unknown_settings(name, {*variables, misspelt, "DATABASE_URL"}) == {misspelt, "DATABASE_URL"}


@pytest.mark.parametrize("name", OURS)
def test_every_setting_without_a_default_is_given(name: str) -> None:
    needed = {field for field, told in _settings_of(name).model_fields.items() if told.is_required()}
    assert {f"LAUREL_{name.upper()}_{field.upper()}" for field in needed} <= set(SERVICES[name]["environment"])


def test_migrations_are_told_what_they_read() -> None:
    passwords = {f"{PASSWORDS_PREFIX}{role.upper()}" for role in ROLES}
    assert set(SERVICES["migrate"]["environment"]) == {"LAUREL_ADMIN_DATABASE_URL", *passwords}


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
