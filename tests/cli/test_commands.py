"""The command line answers, and says so by its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from laurel.cli.app import COMMANDS, app_of
from laurel.embedded.postgres import EmbeddedPostgres
from laurel.embedded.publishing import program_files
from laurel.io.migrating import DatabaseUrls

ROOT = Path(__file__).parents[2]
RUNNER = CliRunner()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str) -> None:
    answer = RUNNER.invoke(app_of(COMMANDS), [command, "--help"])
    assert answer.exit_code == 0, answer.output
    assert "Usage" in answer.output


def test_command_line_starts_quickly() -> None:
    """Only the module of the command asked for is loaded."""
    began = time.monotonic()
    code = (
        "import sys; sys.argv = ['laurel', 'status', '--data-dir', 'nowhere']; from laurel.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    for heavy in ("sqlalchemy", "alembic", "aiokafka", "pandas", "fastapi"):
        assert f" {heavy}\n" not in done.stderr
    assert time.monotonic() - began < 10


def test_status_of_nothing(tmp_path: Path) -> None:
    answer = RUNNER.invoke(app_of(["status"]), ["status", "--data-dir", str(tmp_path), "--json"])
    assert answer.exit_code == 3
    assert json.loads(answer.output) is None


@pytest.mark.parametrize("file", program_files(), ids=lambda file: file.stem)
def test_shipped_program_is_valid(file: Path) -> None:
    answer = RUNNER.invoke(app_of(["program"]), ["program", "validate", str(file)])
    assert answer.exit_code == 0, answer.output
    assert "valid" in answer.output


def test_faults_of_a_program_are_all_named_with_their_pointer(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    text = (ROOT / "programs" / "grocery.yaml").read_text(encoding="utf-8")
    file.write_text(text + "\nsurplus: 1\nanother: 2\n", encoding="utf-8")
    answer = RUNNER.invoke(app_of(["program"]), ["program", "validate", str(file), "--json"])
    assert answer.exit_code == 1
    pointers = {error["pointer"] for error in json.loads(answer.output)["errors"]}
    assert {"/surplus", "/another"} <= pointers


@pytest.mark.parametrize(
    "text", [b"", b"- a\n- b\n", b"a: [", b"\xff\xfe\x00", b"{", b"a: !!python/object:os.system x"]
)
def test_what_is_no_program_is_said_so(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "odd.yaml"
    file.write_bytes(text)
    answer = RUNNER.invoke(app_of(["program"]), ["program", "validate", str(file)])
    assert answer.exit_code == 1, answer.output
    assert "fault" in answer.output
    assert "Traceback" not in answer.output


def test_missing_program_file_is_said_so(tmp_path: Path) -> None:
    answer = RUNNER.invoke(app_of(["program"]), ["program", "validate", str(tmp_path / "none.yaml")])
    assert answer.exit_code == 1
    assert "No such file" in answer.output


def test_migrate_says_what_it_lacks() -> None:
    answer = RUNNER.invoke(app_of(["migrate"]), ["migrate", "--admin-url", "postgresql://127.0.0.1/postgres"])
    assert answer.exit_code == 2
    assert "No password was given for owner" in " ".join(answer.output.replace("│", " ").split())


def test_migrate_is_a_job_that_can_be_repeated(postgres: EmbeddedPostgres, database_urls: DatabaseUrls) -> None:
    name = database_urls.owner.rpartition("/")[2]
    arguments = ["migrate", "--admin-url", postgres.url("admin", "postgres"), "--database", name]
    for role, password in postgres.secrets.passwords.items():
        arguments += ["--password", f"{role}={password}"] if role != "admin" else []
    for extra in ([], ["--check"], []):
        answer = RUNNER.invoke(app_of(["migrate"]), [*arguments, *extra])
        assert answer.exit_code == 0, answer.output
        assert "current" in answer.output


def test_migrate_says_that_the_server_is_not_there() -> None:
    passwords = [f"--password={role}=x" for role in ("owner", "points", "redemption", "gateway", "auditor")]
    answer = RUNNER.invoke(
        app_of(["migrate"]), ["migrate", "--admin-url", "postgresql://postgres:x@127.0.0.1:1/postgres", *passwords]
    )
    assert answer.exit_code == 1
    assert "cannot be migrated" in answer.output


def test_dead_list_of_nothing(database_urls: DatabaseUrls) -> None:
    answer = RUNNER.invoke(app_of(["dead"]), ["dead", "list", "points", "--database", database_urls.points])
    assert answer.exit_code == 0, answer.output
    assert "Nothing is parked" in answer.output


@pytest.mark.parametrize("command", [["show"], ["retry"], ["discard", "--note", "x"]])
def test_dead_says_that_there_is_no_such_message(database_urls: DatabaseUrls, command: list[str]) -> None:
    place = ["points", "grocery", "-", "laurel/gateway/1", "7", "--database", database_urls.points]
    answer = RUNNER.invoke(app_of(["dead"]), ["dead", *command, *place])
    assert answer.exit_code == 1, answer.output
    assert "no such parked message" in answer.output


def test_nothing_is_rebuilt_where_nothing_runs(tmp_path: Path) -> None:
    answer = RUNNER.invoke(app_of(["rebuild"]), ["rebuild", "--data-dir", str(tmp_path)])
    assert answer.exit_code == 1, answer.output
    assert f"Cannot rebuild: Nothing runs on {tmp_path}" in answer.output
    answer = RUNNER.invoke(app_of(["rebuild"]), ["rebuild", "vouchers", "--data-dir", str(tmp_path)])
    assert answer.exit_code == 2, answer.output
    assert "'vouchers' is none of rewards, redemptions" in answer.output
