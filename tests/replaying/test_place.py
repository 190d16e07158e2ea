from __future__ import annotations

import json
from pathlib import Path

import pytest

from laurel.replaying.place import ADDRESS, KeyMissingError, find_place


def test_what_is_running_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.key").write_text("lk_1\n")
    status = {"gateway": "http://127.0.0.1:9999/", "admin_key_file": str(tmp_path / "other.key")}
    (tmp_path / "status.json").write_text(json.dumps(status))
    place = find_place(tmp_path)
    assert (place.address, place.key) == ("http://127.0.0.1:9999", "lk_1")


def test_what_is_named_wins(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("ours")
    (tmp_path / "theirs.key").write_text("theirs")
    (tmp_path / "status.json").write_text('{"gateway": "http://127.0.0.1:9999"}')
    place = find_place(tmp_path, address="example.org:80", key_file=tmp_path / "theirs.key")
    assert (place.address, place.key) == ("http://example.org:80", "theirs")


def test_nothing_is_written_down(tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("ours")
    (tmp_path / "status.json").write_text("[broken")
    assert find_place(tmp_path).address == ADDRESS


@pytest.mark.parametrize("content", [None, " \n"])
def test_there_is_no_key(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "admin.key").write_text(content)
    with pytest.raises(KeyMissingError):
        find_place(tmp_path)
