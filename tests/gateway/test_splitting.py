"""Bytes become lines."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.splitting import BrokenError, Gunzip, Lines


def lines_of(pieces: list[bytes], limit: int = 1000) -> list[bytes | None]:
    lines = Lines(limit)
    found = [line for piece in pieces for line in lines.feed(piece)]
    return [*found, *lines.finish()]


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=20), st.integers(1, 7))
def test_lines_are_the_same_however_the_bytes_arrive(wanted: list[bytes], step: int) -> None:
    whole = b"".join(line + b"\n" for line in wanted)
    assert lines_of([whole[at : at + step] for at in range(0, len(whole), step)]) == wanted


def test_the_last_line_needs_no_line_feed() -> None:
    assert lines_of([b"a\nb"]) == [b"a", b"b"]
    assert lines_of([b"a\n\nb\n"]) == [b"a", b"", b"b"]


def test_a_line_above_the_limit_is_dropped_and_the_next_one_is_whole() -> None:
    assert lines_of([b"x" * 8, b"y" * 8 + b"\nok\n" + b"z" * 11], limit=10) == [None, b"ok", None]


def test_the_offset_is_where_the_whole_lines_end() -> None:
    lines = Lines(5)
    list(lines.feed(b"ab\nlonger than five\ncd"))
    assert lines.offset == len(b"ab\nlonger than five\n")


@given(st.binary(max_size=300_000), st.integers(1, 100_000))
def test_what_was_packed_comes_out_again(data: bytes, step: int) -> None:
    packed = gzip.compress(data)
    gunzip = Gunzip(1100)
    pieces = [p for at in range(0, len(packed), step) for p in gunzip.feed(packed[at : at + step])]
    gunzip.finish()
    assert b"".join(pieces) == data


def test_two_packed_files_one_behind_the_other_are_one() -> None:
    gunzip = Gunzip(1100)
    assert b"".join(gunzip.feed(gzip.compress(b"one\n") + gzip.compress(b"two\n"))) == b"one\ntwo\n"
    gunzip.finish()


@pytest.mark.parametrize("cut", [1, 9, 15, -9, -1])
def test_a_packed_file_that_ends_too_soon_is_broken(cut: int) -> None:
    packed = gzip.compress(b'{"id": "1"}\n' * 50)
    gunzip = Gunzip(1100)
    list(gunzip.feed(packed[:cut]))
    with pytest.raises(BrokenError):
        gunzip.finish()


def test_damage_in_the_middle_is_noticed() -> None:
    packed = bytearray(gzip.compress(bytes(range(256)) * 400))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(BrokenError):
        list(Gunzip(1100).feed(bytes(packed)))
    with pytest.raises(BrokenError):
        list(Gunzip(1100).feed(b"this was never packed"))


def test_a_small_file_that_unpacks_to_a_huge_one_never_stands_in_memory() -> None:
    packer = zlib.compressobj(wbits=31)
    packed = b"".join([*(packer.compress(b"\0" * 1_000_000) for _ in range(200)), packer.flush()])
    tracemalloc.start()
    size = sum(len(piece) for piece in Gunzip(1100).feed(packed))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 200_000_000
    assert peak < 3_000_000
