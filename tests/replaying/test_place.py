from __future__ import annotations

from pathlib import Path

import pytest

from laurel.embedded.status import Status, held, write_status
from laurel.replaying.place import ADDRESS, KeyMissingError, find_place


@pytest.fixture
def status(tmp_path: Path) -> Status:
    (tmp_path / "other.key").write_text("lk_1\n")
    return Status("http://127.0.0.1:9999", "", "", str(tmp_path / "other.key"))


def test_what_is_running_is_found(tmp_path: Path, status: Status) -> None:
    with held(tmp_path):
        write_status(tmp_path, status)
        place = find_place(tmp_path)
    assert (place.address, place.key) == ("http://127.0.0.1:9999", "lk_1")


def test_what_is_named_wins(tmp_path: Path, status: Status) -> None:
    (tmp_path / "theirs.key").write_text("theirs")
    with held(tmp_path):
        write_status(tmp_path, status)
        place = find_place(tmp_path, address="example.org:80/", key_file=tmp_path / "theirs.key")
    assert (place.address, place.key) == ("http://example.org:80", "theirs")


def test_nothing_runs_here(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("ours")
    place = find_place(tmp_path)
    assert (place.address, place.key) == (ADDRESS, "ours")


@pytest.mark.parametrize("content", [None, " \n"])
def test_there_is_no_key(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "admin.key").write_text(content)
    with pytest.raises(KeyMissingError):
        find_place(tmp_path)
