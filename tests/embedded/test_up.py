"""`laurel up` with the real services: from nothing to first points, by the commands a newcomer types."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from laurel.embedded.ports import free_port
from laurel.embedded.status import Status, read_status

LAUREL = [sys.executable, "-m", "laurel.cli.app"]


@contextmanager
def laurel_up(data_dir: Path) -> Iterator[Status]:
    process = subprocess.Popen(
        [*LAUREL, "up", "--data-dir", str(data_dir), "--port", str(free_port())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    family: list[psutil.Process] = []
    try:
        while (status := read_status(data_dir)) is None:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        family = psutil.Process(process.pid).children(recursive=True)
        yield status
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 0, said
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def client(status: Status) -> httpx.Client:
    key = Path(status.admin_key_file).read_text(encoding="utf-8").strip()
    return httpx.Client(base_url=status.gateway, headers={"Authorization": f"Bearer {key}"}, timeout=30, verify=False)


@pytest.fixture(scope="module")
def data_dir(reachable_dir: Path) -> Path:
    return reachable_dir / "real"


def purchase(identity: str) -> dict[str, Any]:
    line = {"id": "1", "sku": "1", "quantity": 1, "amount": 1234, "category": "GROCERY", "brand": "National"}
    return {
        "id": identity,
        "type": "purchase",
        "member": "m-1",
        "occurred_at": "2026-03-14T09:26:53-04:00",
        "currency": "USD",
        "amount": 1234,
        "lines": [line],
    }


def test_first_points_are_earned_and_stay(data_dir: Path) -> None:
    with laurel_up(data_dir) as status:
        assert Path(status.admin_key_file).stat().st_mode & 0o777 == 0o600
        with client(status) as http:
            enrolled = http.post("/v1/programs/grocery/members", json={"member": "m-1"})
            assert enrolled.status_code == 201, enrolled.text
            posted = http.post("/v1/programs/grocery/activities", json=purchase("till-1"))
            assert posted.status_code == 201, posted.text
            balances = posted.json()["balances"]
            assert balances[0]["available"] > 0
        shown = subprocess.run(
            [*LAUREL, "status", "--data-dir", str(data_dir), "--json"], capture_output=True, text=True, check=True
        )
        document = json.loads(shown.stdout)
        assert {"gateway", "kafka", "database", "admin_key_file", "services"} <= set(document)
        assert all(service["ready"] and service["pid"] for service in document["services"].values())

    # The broker comes back empty, the database does not.
    with laurel_up(data_dir) as status, client(status) as http:
        member = http.get("/v1/programs/grocery/members/m-1")
        assert member.json()["balances"][0]["available"] == balances[0]["available"]
        again = http.post("/v1/programs/grocery/activities", json=purchase("till-1"))
        assert again.headers["Idempotency-Replayed"] == "true"
        more = http.post("/v1/programs/grocery/activities", json=purchase("till-2"))
        assert more.status_code == 201, more.text
        assert more.json()["balances"][0]["available"] == 2 * balances[0]["available"]
        rebuild = [*LAUREL, "rebuild", "--data-dir", str(data_dir), "--program", "grocery", "members", "activities"]
        told = subprocess.run(rebuild, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
        assert "grocery: 1 members told by points, up to m-1; 0 rows mended" in told.stdout
        unknown = subprocess.run([*rebuild, "--program", "nowhere"], capture_output=True, text=True, check=False)
        assert (unknown.returncode, unknown.stderr) == (2, "Cannot rebuild: There is no program nowhere.\n")
        proved = subprocess.run(
            [*LAUREL, "verify", "--data-dir", str(data_dir)], capture_output=True, text=True, check=False
        )
        assert proved.returncode == 0, proved.stdout + proved.stderr
