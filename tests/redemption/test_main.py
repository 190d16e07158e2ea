"""`python -m services.redemption` as a shell sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from laurel.io.migrating import DatabaseUrls
from services.redemption.testing import redemption_requested, reward_published


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LAUREL_")}
    command = [sys.executable, "-m", "services.redemption", *arguments]
    return subprocess.run(
        command, env={**clean, **environment}, capture_output=True, text=True, check=False, timeout=60
    )


def test_it_says_how_it_is_used() -> None:
    for arguments in ((), ("everything",), ("api", "worker")):
        done = run(*arguments)
        assert done.returncode == 2
        assert "api|worker|both" in done.stderr


@pytest.mark.parametrize("secret", [{}, {"LAUREL_REDEMPTION_SECRET": "short"}])
def test_it_does_not_start_without_a_secret(secret: dict[str, str]) -> None:
    done = run("both", **secret)
    assert done.returncode == 2
    assert "LAUREL_REDEMPTION_SECRET" in done.stderr
    assert "short" not in done.stderr.replace("shorter", "")


@pytest.mark.anyio
async def test_verify_prints_what_does_not_hold(counter: Any, database_urls: DatabaseUrls) -> None:
    await counter.hear(reward_published(), redemption_requested("m-1", "r-1"))
    url = {"LAUREL_VERIFY_DATABASE_URL": database_urls.auditor}
    lines = [json.loads(line) for line in run("verify", **url).stdout.splitlines()]
    assert lines == [{"checked": 1, "of": "decisions"}]
    lines = [json.loads(line) for line in run("verify", "--at-rest", **url).stdout.splitlines()]
    assert [line.get("proof") for line in lines] == ["no saga is open", "nothing is set aside", None]
