"""CloudEvents in Kafka's binary mode: records become messages, rows become headers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

# Keys are `program:member`, `program:` where there is no member; program ids hold no colon.
_KEY = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}:(?:[A-Za-z0-9][A-Za-z0-9._:~-]{0,127})?")
# What is told of bytes that could be anybody's.
_NOBODY = b":"
_DEAD_SOURCE = re.compile(rb"laurel/[a-z]+\.dead/[0-9]+")
_SEQUENCE_MAX = 2**53
_TEXT_MAX = 400
_CACHE_MAX = 4096


class Record(Protocol):
    """What is read of a consumed Kafka record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True, eq=False)
class Message:
    """One event as it came. `body` is not yet decoded; `time` is parsed when asked for."""

    topic: str
    partition: int
    offset: int
    source: str
    sequence: int
    type: str
    id: str
    program: str
    member: str
    correlation: str
    causation: str
    traceparent: str
    body: bytes
    headers: Mapping[str, bytes] = field(repr=False)

    @property
    def time(self) -> datetime:
        """When the event happened, by `ce_time`."""
        at = datetime.fromisoformat(self.headers["ce_time"].decode())
        return at if at.tzinfo else at.replace(tzinfo=UTC)

    @property
    def key(self) -> tuple[str, str, str]:
        """What the inbox counts by."""
        return (self.program, self.member, self.source)

    @property
    def place(self) -> tuple[str, str, str, int]:
        """What names the message, whatever log it lies in."""
        return (self.program, self.member, self.source, self.sequence)


@dataclass(slots=True, eq=False)
class Undecodable:
    """A record that is not an event of ours, and why."""

    topic: str
    partition: int
    offset: int
    detail: str
    body: bytes
    headers: Mapping[str, bytes]

    @property
    def source(self) -> str:
        return f"bytes:{self.topic}/{self.partition}"


class _MalformedError(ValueError):
    pass


# Sources, types and the like repeat in every message; decoding each value once saves most of the work.
_texts: dict[bytes, str] = {}


def _text(value: bytes) -> str:
    """Decode a header that the database will keep: UTF-8, printable, of bounded length."""
    known = _texts.get(value)
    if known is not None:
        return known
    text = _free_text(value)
    if len(_texts) >= _CACHE_MAX:
        _texts.clear()
    _texts[value] = text
    return text


def _free_text(value: bytes) -> str:
    text = value.decode()
    if len(text) > _TEXT_MAX or not text.isprintable():
        raise _MalformedError("a header is too long or holds control characters")
    return text


def decode(record: Record) -> Message | Undecodable:
    """Read the headers of a record. What lacks a header, or holds what no event of ours holds, is undecodable."""
    headers = dict(record.headers)
    body = record.value if record.value is not None else b""
    try:
        key = record.key or b""
        is_nobodys = key == _NOBODY and _DEAD_SOURCE.fullmatch(headers["ce_source"]) is not None
        if not is_nobodys and _KEY.fullmatch(key) is None:
            raise _MalformedError("the key is not `program:member`")
        program = key.partition(b":")[0].decode()
        subject = headers.get("ce_subject", b"")
        member = subject.decode()
        if subject and key.partition(b":")[2] != subject and _KEY.fullmatch(b"p:" + subject) is None:
            raise _MalformedError("the subject is not a member's id")
        sequence_bytes = headers["ce_sequence"]
        if not sequence_bytes.isdigit():
            raise _MalformedError("the sequence is not a number")
        sequence = int(sequence_bytes)
        if not 0 < sequence <= _SEQUENCE_MAX:
            raise _MalformedError("the sequence is out of range")
        return Message(
            record.topic,
            record.partition,
            record.offset,
            _text(headers["ce_source"]),
            sequence,
            _text(headers["ce_type"]),
            _free_text(headers["ce_id"]),
            program,
            member,
            _free_text(headers.get("ce_correlationid", b"")),
            _free_text(headers.get("ce_causationid", b"")),
            _free_text(headers.get("ce_traceparent", b"")),
            body,
            headers,
        )
    except KeyError as missing:
        detail = f"the header {missing.args[0]} is missing"
    except (UnicodeDecodeError, _MalformedError) as wrong:
        detail = str(wrong)
    return Undecodable(record.topic, record.partition, record.offset, detail, body, headers)


def source_of(service: str, stream: str, epoch: int) -> str:
    """Name the `ce_source` of a stream: sequences count per source and key."""
    return f"laurel/{service}.{stream}/{epoch}" if stream else f"laurel/{service}/{epoch}"


def id_of(stream: str, epoch: int, program: str, member: str, sequence: int) -> str:
    """Name the `ce_id`: the same for every repeat of an event."""
    start = f"{stream}." if stream else ""
    return f"{start}{epoch}.{program}.{member}.{sequence}"
