"""Parked messages: shown, tried again, discarded.

Retrying only says so in the table: a worker of the service looks once a second, and runs the message and what
waits behind it through the same handler as ever. So whoever retries needs the database and nothing else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from laurel.errors import LaurelError
from laurel.io.inbox import RETRY, WAITING, Key, Place, Wrong, headers_from_json
from laurel.io.saying import DEAD, Saying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from laurel.io.database import Connection
    from laurel.io.message import Message, Undecodable
    from laurel.io.unit import Work

PARKED_TYPE = "message.parked.v1"
DISCARDED_TYPE = "message.discarded.v1"
RETRIED_TYPE = "message.retried.v1"
TELLING = frozenset({PARKED_TYPE, DISCARDED_TYPE, RETRIED_TYPE})
"""What dead-letter topics carry."""
NOBODY = "unknown"
"""The program that is named where bytes are parked that could be anybody's."""
BYTES = "bytes:"
"""What the sources of undecodable records begin with."""


REPAIRED = frozenset({"gateway"})
"""Services that hear nothing but what others did. That stands, whoever cannot read it, so it is never given up."""


class MustBeRepaired(LaurelError):  # noqa: N818 - it says what is the case
    """What is parked is a fact of another service: to give it up would show a caller what is not so."""


class NotParked(LookupError):  # noqa: N818 - it says what is the case
    """There is no such parked message, or not one that this can be done to."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked message as it is listed."""

    program: str
    member: str
    source: str
    sequence: int
    topic: str
    type: str | None
    reason: str
    detail: str
    parked_at: datetime
    correlation: str | None
    behind: int
    """How many messages of the key wait behind it."""


@dataclass(frozen=True, slots=True)
class ParkedDocument:
    """A parked message with everything it brought."""

    parked: Parked
    headers: dict[str, str]
    body: bytes


_LISTED = """
select p.program, p.member, p.source, p.sequence, p.topic, p.type, p.reason, p.detail, p.parked_at, p.correlation,
       (select count(*) from parked b where b.program = p.program and b.member = p.member
        and b.source = p.source and b.sequence > p.sequence and p.source not like 'bytes:%') as behind
from parked p
"""


async def parked_messages(connection: Connection, *, limit: int = 100, waiting: bool = False) -> list[Parked]:
    """List what is parked, oldest first; with `waiting` also the messages that merely wait."""
    rows = await connection.fetch(
        _LISTED + "where $1 or p.reason not in ('gap', 'behind') order by p.parked_at, p.source, p.sequence limit $2",
        waiting,
        limit,
    )
    return [Parked(**row) for row in rows]


async def show(connection: Connection, place: Place) -> ParkedDocument:
    """Return one parked message whole."""
    row = await connection.fetchrow(
        _LISTED + "where p.program = $1 and p.member = $2 and p.source = $3 and p.sequence = $4", *place
    )
    if row is None:
        raise NotParked(place)
    stored = await connection.fetchrow(
        "select headers, body from parked where program = $1 and member = $2 and source = $3 and sequence = $4",
        *place,
    )
    if stored is None:
        raise NotParked(place)
    return ParkedDocument(Parked(**row), json.loads(stored["headers"]), stored["body"])


async def retry(work: Work, place: Place, *, actor: str, note: str = "") -> None:
    """Have a parked message tried again, and then what waits behind it."""
    connection = work.connection
    reason = await _lock(connection, place)
    if reason in WAITING and reason != RETRY:
        raise NotParked(f"{place} waits for another message; retry that one")
    await _set_reason(connection, place, RETRY, f"asked for by {actor}")
    await _audit(connection, "retry", place, actor, note)
    row = await connection.fetchrow(
        "select type, headers from parked where program = $1 and member = $2 and source = $3 and sequence = $4", *place
    )
    assert row is not None
    # No request ends by it, so it answers none.
    work.say(_done_saying(RETRIED_TYPE, place, row["type"], row["headers"], "retried", note, actor))


async def discard(work: Work, place: Place, *, actor: str, note: str) -> None:
    """Give a parked message up: the inbox moves past it, what waits behind it goes on, and its caller is told.

    Only the first of a key can be discarded: the one that comes next by the inbox. Raises `MustBeRepaired` where the
    message is an outcome.
    """
    connection = work.connection
    program, member, source, sequence = place
    if work.service in REPAIRED and not source.startswith(BYTES):
        raise MustBeRepaired(
            f"{place} is an outcome: what it tells has happened. Repair what keeps {work.service} from taking it, "
            "and retry it."
        )
    number = await connection.fetchval(
        "select number from inbox where program = $1 and member = $2 and source = $3 for update",
        program,
        member,
        source,
    )
    reason = await _lock(connection, place)
    is_bytes = source.startswith(BYTES)
    if not is_bytes and (number != sequence - 1 or (reason in WAITING and reason != RETRY)):
        raise NotParked(f"{place} is not the first of its key")
    row = await connection.fetchrow(
        "delete from parked where program = $1 and member = $2 and source = $3 and sequence = $4 "
        "returning type, headers, topic, correlation",
        *place,
    )
    assert row is not None
    await _audit(connection, "discard", place, actor, note)
    correlation = row["correlation"] or ""
    work.say(_done_saying(DISCARDED_TYPE, place, row["type"], row["headers"], "discarded", note, actor, correlation))
    if is_bytes:
        return
    await connection.execute("update inbox set number = $4 where program = $1 and member = $2 and source = $3", *place)
    # The next of the key, if it waits, is told to go on; those behind it follow by themselves.
    await connection.execute(
        "update parked set reason = 'retry' where program = $1 and member = $2 and source = $3 and sequence = $4 "
        "and reason in ('gap', 'behind')",
        program,
        member,
        source,
        sequence + 1,
    )


async def _lock(connection: Connection, place: Place) -> str:
    reason = await connection.fetchval(
        "select reason from parked where program = $1 and member = $2 and source = $3 and sequence = $4 for update",
        *place,
    )
    if reason is None:
        raise NotParked(place)
    return str(reason)


async def _set_reason(connection: Connection, place: Place, reason: str, detail: str) -> None:
    await connection.execute(
        "update parked set reason = $5, detail = $6 "
        "where program = $1 and member = $2 and source = $3 and sequence = $4",
        *place,
        reason,
        detail,
    )


async def _audit(connection: Connection, action: str, place: Place, actor: str, note: str) -> None:
    await connection.execute(
        "insert into parked_audit (action, program, member, source, sequence, actor, note) "
        "values ($1, $2, $3, $4, $5, $6, $7)",
        action,
        *place,
        actor,
        note,
    )


# What the consumer asks. -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Record:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


async def wanted(connection: Connection, topics: Sequence[str]) -> tuple[list[Key], list[tuple[Place, _Record]]]:
    """Return the keys that are to be tried again, and the undecodable records that are."""
    rows = await connection.fetch(
        "select program, member, source, sequence, topic, headers, body from parked "
        "where reason = 'retry' and topic = any ($1::text[]) order by program, member, source, sequence limit 500",
        list(topics),
    )
    keys: dict[Key, None] = {}
    records: list[tuple[Place, _Record]] = []
    for row in rows:
        place = (row["program"], row["member"], row["source"], row["sequence"])
        if not place[2].startswith(BYTES):
            keys[place[:3]] = None
            continue
        headers = headers_from_json(row["headers"])
        partition = int(place[2].rpartition("/")[2])
        key = headers.get("ce_partitionkey")
        records.append((place, _Record(row["topic"], partition, place[3], key, row["body"], list(headers.items()))))
    return list(keys), records


async def waiting_keys(connection: Connection, keys: Sequence[Key]) -> list[Key]:
    """Return those keys of which messages wait."""
    rows = await connection.fetch(
        "select k.* from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, source) where exists "
        "(select from parked p where p.program = k.program and p.member = k.member and p.source = k.source)",
        [key[0] for key in keys],
        [key[1] for key in keys],
        [key[2] for key in keys],
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def forget(connection: Connection, place: Place) -> None:
    """Drop a parked row whose content is applied in the same transaction."""
    await connection.execute(
        "delete from parked where program = $1 and member = $2 and source = $3 and sequence = $4", *place
    )


async def undecodable_still(connection: Connection, place: Place, detail: str) -> None:
    """Note that a record, tried again, is still no message."""
    await _set_reason(connection, place, "undecodable", detail)


@dataclass(frozen=True, slots=True)
class Gap:
    """A key that waits for a missing number; `sequence` is the first that is there."""

    program: str
    member: str
    source: str
    sequence: int
    since: datetime


async def gaps(connection: Connection, topics: Sequence[str], older_than_seconds: float) -> list[Gap]:
    """Return the keys whose next number has not been seen for that long, though a later one has."""
    rows = await connection.fetch(
        "select p.program, p.member, p.source, min(p.sequence) as sequence, min(p.parked_at) as since from parked p "
        "where p.topic = any ($1::text[]) group by p.program, p.member, p.source "
        "having bool_and(p.reason in ('gap', 'behind')) and min(p.parked_at) < now() - make_interval(secs => $2) "
        "order by since limit 1000",
        list(topics),
        older_than_seconds,
    )
    return [Gap(**row) for row in rows]


# What is said of them. ---------------------------------------------------------------------------------------


def parked_saying(message: Message, wrong: Wrong) -> Saying:
    """Tell on the dead-letter topic that a message is parked, or waits behind one that is."""
    return Saying(
        DEAD,
        message.program,
        message.member,
        PARKED_TYPE,
        _body(
            message.program, message.member, message.id, message.source, message.sequence, message.type,
            wrong.reason, wrong.detail,
        ),
        datetime.now(UTC),
        causation=message.id,
        correlation=message.correlation,
        traceparent=message.traceparent,
    )  # fmt: skip


def _done_saying(
    type_: str, place: Place, of: str | None, headers: str, reason: str, note: str, actor: str, correlation: str = ""
) -> Saying:
    """Tell on the dead-letter topic what a person did with a parked message; of bytes as `undecodable_saying` does."""
    program, member, source, sequence = place
    known = headers_from_json(headers).get("ce_id", b"").decode("utf-8", "replace")
    message_id = f"{source}/{sequence}" if source.startswith(BYTES) else known
    return Saying(
        DEAD,
        program,
        member,
        type_,
        _body(program or NOBODY, member, message_id, source, sequence, of, reason, note, actor),
        datetime.now(UTC),
        causation="" if source.startswith(BYTES) else message_id,
        correlation=correlation,
    )


def undecodable_saying(record: Undecodable) -> Saying:
    """Tell on the dead-letter topic that bytes are parked. They have no program, so the key is `:`, which is nobody's:
    under the name of a program its numbers would be taken for that program's.
    """
    return Saying(
        DEAD,
        "",
        "",
        PARKED_TYPE,
        _body(NOBODY, "", f"{record.source}/{record.offset}", record.source, record.offset, None,
              "undecodable", record.detail),
        datetime.now(UTC),
    )  # fmt: skip


def _body(
    program: str,
    member: str,
    message_id: str,
    source: str,
    sequence: int,
    type_: str | None,
    reason: str,
    detail: str,
    actor: str | None = None,
) -> bytes:
    document: dict[str, object] = {
        "program": program,
        "member": member or None,
        "at": datetime.now(UTC).isoformat(),
        "cause": {"kind": "message", "id": message_id},
        "source": source,
        "sequence": sequence,
        "type": type_,
        "reason": reason,
        "detail": detail,
    }
    if actor is not None:
        document["actor"] = actor
    return json.dumps(document, separators=(",", ":")).encode()
