"""Frames as they come over a connection: what is not understood ends that connection and no other."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from laurel.embedded.broker import EmbeddedBroker, answers_metadata
from laurel.embedded.kafka.requests import REQUESTS

_CLIENT = struct.pack(">h", 4) + b"test"
_API_VERSIONS, _METADATA, _FETCH, _CREATE_TOPICS = 18, 3, 1, 19


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker
    # Whatever the tests have sent, nothing of it was unexpected.
    assert (broker.data_dir / "logs" / "broker.log").read_text() == ""


@pytest.fixture
def line(own_broker: EmbeddedBroker) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", own_broker.port), timeout=5) as connection:
        yield connection


def frame(number: int, version: int, correlation: int, body: bytes = b"") -> bytes:
    request = struct.pack(">hhi", number, version, correlation) + _CLIENT + body
    return struct.pack(">i", len(request)) + request


def received(line: socket.socket) -> bytes | None:
    """One answer; None: hung up."""
    head = exactly(line, 4)
    return None if head is None else exactly(line, struct.unpack(">i", head)[0])


def exactly(line: socket.socket, size: int) -> bytes | None:
    found = b""
    while len(found) < size:
        part = line.recv(size - len(found))
        if not part:
            return None
        found += part
    return found


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">i", -1),
        struct.pack(">i", 0),
        struct.pack(">i", 2**31 - 1),
        struct.pack(">i", 3) + b"abc",
        frame(99, 0, 1),
        frame(_FETCH, 3, 1),
        frame(_METADATA, 99, 1),
        frame(_FETCH, 4, 1),
        frame(_METADATA, 1, 1, struct.pack(">i", 2**31 - 1)),
        frame(_METADATA, 1, 1, struct.pack(">ih", 1, 9) + b"short"),
        frame(_METADATA, 1, 1, struct.pack(">ih", 1, 1) + b"\xff"),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_understood_ends_the_connection_and_no_other(
    own_broker: EmbeddedBroker, line: socket.socket, sent: bytes
) -> None:
    line.sendall(sent)
    assert received(line) is None
    assert answers_metadata(own_broker.port)


def test_who_speaks_a_newer_protocol_is_told_which_versions_there_are(line: socket.socket) -> None:
    line.sendall(frame(_API_VERSIONS, 4, 11))
    answer = received(line)
    assert answer is not None
    correlation, code, count = struct.unpack_from(">ihi", answer)
    assert (correlation, code, count) == (11, 35, len(REQUESTS))
    line.sendall(frame(_API_VERSIONS, 0, 12))
    again = received(line)
    assert again is not None
    assert struct.unpack_from(">ihi", again) == (12, 0, len(REQUESTS))
    assert again[10:] == answer[10:]


def test_requests_in_pieces_and_together_are_answered_in_their_order(line: socket.socket) -> None:
    whole = b"".join(frame(_METADATA, 1, number, struct.pack(">i", 0)) for number in range(5))
    for byte in whole[:40]:
        line.sendall(bytes([byte]))
    line.sendall(whole[40:])
    answers = [received(line) for _ in range(5)]
    assert [struct.unpack_from(">i", answer)[0] for answer in answers if answer is not None] == list(range(5))


def test_a_fetch_that_waits_holds_up_what_its_own_connection_asks_later(
    own_broker: EmbeddedBroker, line: socket.socket
) -> None:
    topic = struct.pack(">h", 5) + b"quiet"
    creation = struct.pack(">i", 1) + topic + struct.pack(">ihiii", 1, 1, 0, 0, 1000)
    line.sendall(frame(_CREATE_TOPICS, 0, 1, creation))
    assert received(line) is not None
    wanted = struct.pack(">iiiibi", -1, 300, 1, 1000, 0, 1) + topic + struct.pack(">iiqi", 1, 0, 0, 1000)
    line.sendall(frame(_FETCH, 4, 2, wanted) + frame(_METADATA, 1, 3, struct.pack(">i", 0)))
    assert answers_metadata(own_broker.port)
    first, second = received(line), received(line)
    assert first is not None
    assert second is not None
    assert [struct.unpack_from(">i", each)[0] for each in (first, second)] == [2, 3]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "ä", "x" * 250])
def test_a_name_that_is_none_makes_no_topic(line: socket.socket, name: str) -> None:
    topic = struct.pack(">h", len(name.encode())) + name.encode()
    line.sendall(frame(_CREATE_TOPICS, 0, 1, struct.pack(">i", 1) + topic + struct.pack(">ihiii", 1, 1, 0, 0, 1000)))
    answer = received(line)
    assert answer is not None
    assert struct.unpack(">h", answer[-2:])[0] == 17
