"""The secrets of a Laurel that runs are changed: nothing is lost, and the old ones are good for nothing any more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from laurel.embedded.secret_file import Secrets
from laurel.embedded.services import KEEPERS_OF_SECRETS
from laurel.io.migrating import DatabaseUrls
from laurel.io.settings import KafkaSettings
from tests.flow.nursery import Nursery
from tests.flow.stage import JOINED_AT, ONE_OF_EACH, Door, Town, grocery, purchase, voucher

pytestmark = pytest.mark.anyio

PROGRAM = "sealed"
CARD = {"scheme": "card", "value": "6340-0001"}
NOTE = "Sorry for the wait."


async def look(door: Door, adjustment: str) -> tuple[Any, ...]:
    """Return all that needs a secret to be seen."""
    found = await door.call("POST", f"programs/{PROGRAM}/members/find", CARD)
    exported = await door.call("GET", f"programs/{PROGRAM}/members/m-1/export")
    note = (await door.call("GET", f"programs/{PROGRAM}/adjustments/{adjustment}"))["note"]
    codes = [each["code"] for each in exported["vouchers"]]
    by_code = [(await door.call("GET", f"programs/{PROGRAM}/vouchers/{code}"))["voucher"] for code in codes]
    return found["member"], [each["value"] for each in exported["identifiers"]], note, codes, by_code


def reseal(service: str, urls: DatabaseUrls, secrets: Secrets) -> int:
    told = {
        "DATABASE_URL": urls.of(service),
        "KAFKA_BOOTSTRAP": "127.0.0.1:9",
        "SECRET": secrets.service_secret(service),
        "SECRET_BEFORE": secrets.secret_before(service) or "",
    }
    environment = {**os.environ, **{f"LAUREL_{service.upper()}_{name}": value for name, value in told.items() if value}}
    command = [sys.executable, "-m", f"services.{service}", "reseal"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["sealed"])


async def test_secrets_are_changed_and_nothing_is_lost(
    database_urls: DatabaseUrls, town_kafka: KafkaSettings, forks: Nursery | None, tmp_path: Path
) -> None:
    async with Town(tmp_path, database_urls, town_kafka, ONE_OF_EACH, forks).open() as town:
        door = town.door()
        await door.publish(grocery(PROGRAM))
        body = {"member": "m-1", "identifiers": [CARD], "enrolled_at": JOINED_AT}
        await door.call("POST", f"programs/{PROGRAM}/members", body, 201)
        await door.report(PROGRAM, purchase("b-1", "m-1", 50_000))
        await door.call("PUT", f"programs/{PROGRAM}/rewards/off", voucher(10), 201)
        await door.redeem(PROGRAM, "r-1", "m-1", "off")
        adjusted = {"member": "m-1", "unit": "point", "amount": 5, "reason": "goodwill", "note": NOTE}
        path = f"programs/{PROGRAM}/adjustments"
        name = (await door.call("POST", path, adjusted, 201, idempotency_key='"a"'))["adjustment"]
        before = await look(door, name)
    assert before[:3] == ("m-1", [CARD["value"]], NOTE)
    assert None not in before[3]

    both = Secrets.of(tmp_path).with_new_secrets(tmp_path, KEEPERS_OF_SECRETS)
    async with Town(tmp_path, database_urls, town_kafka, ONE_OF_EACH, forks).open() as town:
        assert await look(town.door(), name) == before
        # Each service's own keys, by which it looks up and signs, and that of the one member; while everything runs.
        assert [reseal(service, database_urls, both) for service in KEEPERS_OF_SECRETS] == [3, 4]
        assert [reseal(service, database_urls, both) for service in KEEPERS_OF_SECRETS] == [0, 0]
        assert await look(town.door(), name) == before

    both.without_old_secrets(tmp_path)
    async with Town(tmp_path, database_urls, town_kafka, ONE_OF_EACH, forks).open() as town:
        assert await look(town.door(), name) == before
        taken = {"member": "m-2", "identifiers": [CARD], "enrolled_at": JOINED_AT}
        refused = await town.door().ask("POST", f"programs/{PROGRAM}/members", taken)
        assert (refused.status_code, refused.json()["code"]) == (409, "identifier_taken")
        await town.prove()


async def test_notes_that_were_written_in_clear_are_sealed(town: Town, town_urls: DatabaseUrls) -> None:
    door = town.door()
    await door.publish(grocery(PROGRAM))
    await door.enrol(PROGRAM, "m-3")
    adjusted = {"member": "m-3", "unit": "point", "amount": 5, "reason": "goodwill", "note": NOTE}
    path = f"programs/{PROGRAM}/adjustments"
    name = (await door.call("POST", path, adjusted, 201, idempotency_key='"c"'))["adjustment"]
    owner = await asyncpg.connect(town_urls.gateway)
    try:
        old = "update gateway.operations set note = $1, sealed_note = null where id = $2"
        await owner.execute(old, NOTE, name)
        assert (await door.call("GET", f"{path}/{name}"))["note"] == NOTE
        assert reseal("gateway", town_urls, town.secrets) >= 1
        assert await owner.fetchval("select note from gateway.operations where id = $1", name) is None
    finally:
        await owner.close()
    assert (await door.call("GET", f"{path}/{name}"))["note"] == NOTE
