"""The inbox: what was applied already, what comes next, and what has to wait.

One row per source and key holds the last number applied. Lower or equal is a repeat, the next one is fresh, a
higher one waits in `parked` until the gap closes. The row is locked for the whole transaction, before any wallet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from laurel.io.message import Message, Undecodable, decode
from laurel.io.together import Statement

if TYPE_CHECKING:
    import asyncpg

    from laurel.io.database import Connection

Key = tuple[str, str, str]
"""(program, member, source)."""
Place = tuple[str, str, str, int]
"""(program, member, source, sequence): one message, whatever log it lies in."""

GAP = "gap"
"""The reason of a message that came before the one that precedes it."""
BEHIND = "behind"
"""The reason of a message whose key is parked before it."""
RETRY = "retry"
"""The reason of a parked message that is to be tried again."""
WAITING = frozenset({GAP, BEHIND, RETRY})
"""Reasons of messages with which nothing is wrong as far as we know."""


_REASON_MAX = 128
_DETAIL_MAX = 2000


class Wrong:
    """Why a message is parked, cut to what an event may hold."""

    __slots__ = ("detail", "reason")

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason.replace("\x00", "")[:_REASON_MAX] or "unknown"
        self.detail = detail.replace("\x00", "")[:_DETAIL_MAX]


@dataclass(slots=True)
class Sifted:
    """What became of a batch."""

    fresh: list[Message] = field(default_factory=list)
    """To be handled now, in order."""
    repeats: int = 0
    """How many were applied or parked before."""
    waiting: list[Message] = field(default_factory=list)
    """Stored now, to wait for what precedes them."""
    parked: list[tuple[Message, Wrong]] = field(default_factory=list)
    """Stored now because something is wrong with them."""
    behind: list[tuple[Message, Wrong]] = field(default_factory=list)
    """Of those that wait, the ones whose key is parked before them since now; whoever asked for them is told."""
    moves: dict[Key, int] = field(default_factory=dict)
    """Where the inbox stands when all fresh messages are applied."""
    gaps: list[Place] = field(default_factory=list)
    """The messages among the waiting whose predecessor has not been seen."""
    careful: bool = True
    """Whether parked messages were looked for."""
    any_parked: bool = False
    """Whether there are parked messages at all, of whatever key."""


# The keys come sorted, and `lateral … offset 0` reaches and locks their rows one by one in that order. A plain join
# would leave the planner a way to walk the whole table, which it takes, and keeps, while the table is young.
_LOCK = """
select i.program, i.member, i.source, i.number
from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, source)
cross join lateral (
    select program, member, source, number from inbox
    where program = k.program and member = k.member and source = k.source
    offset 0 for update) i
"""
_BEGIN = """
insert into inbox (program, member, source, number)
select p, m, s, 0 from unnest($1::text[], $2::text[], $3::text[]) as k (p, m, s)
on conflict (program, member, source) do nothing
returning program, member, source
"""
# An insert that meets its row finds it by the primary key, whatever the planner believes of a young table.
_MOVE = """
    insert into inbox (program, member, source, number)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
    on conflict (program, member, source) do update set number = excluded.number
"""
_NUMBER = "select number from inbox where program = $1 and member = $2 and source = $3"
_ANY_PARKED = "select exists (select from parked)"
_PARKED = """
select p.program, p.member, p.source, p.sequence, p.reason
from unnest($1::text[], $2::text[], $3::text[]) as k (program, member, source)
cross join lateral (
    select * from parked
    where program = k.program and member = k.member and source = k.source
    offset 0) p
"""
_PULL = """
delete from parked p
using unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) as k (program, member, source, sequence)
where p.program = k.program and p.member = k.member and p.source = k.source and p.sequence = k.sequence
returning p.program, p.member, p.source, p.sequence, p.topic, p.headers, p.body
"""
_STORE = """
insert into parked (program, member, source, sequence, topic, type, headers, body, reason, detail, correlation)
select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::json[],
                     $8::bytea[], $9::text[], $10::text[], $11::text[])
on conflict (program, member, source, sequence) do nothing
returning source, sequence
"""
_PARK_AGAIN = """
update parked set reason = $5, detail = $6
where program = $1 and member = $2 and source = $3 and sequence = $4
returning program, member, source, sequence, topic, headers, body
"""


async def heard_up_to(connection: Connection, program: str, member: str, source: str) -> int:
    """Return the last number of a key that is applied here; it moves with the effect, so what it counts can be read.

    What is of no concern here moves it when it suits, so ask by the number of an event that is.
    """
    return await connection.fetchval(_NUMBER, program, member, source) or 0


async def sift(
    connection: Connection,
    messages: Sequence[Message],
    wrong: Mapping[Place, Wrong] | None = None,
    keys: Sequence[Key] = (),
    pull_max: int | None = None,
    *,
    careful: bool = True,
) -> Sifted:
    """Lock the inbox rows of these messages and sort them into fresh, repeated and waiting ones.

    `wrong` names messages that are to be parked instead of handled. `keys` are further keys to look at, for
    waiting messages whose turn may have come; at most `pull_max` of those are taken. Nothing moves until `moving` is
    executed. Without `careful` it is taken for granted that nothing is parked, and that sees whether it was so.
    """
    sifting = _Sifting(wrong or {}, pull_max)
    sifting.result.careful = careful
    if not messages and not keys:
        return sifting.result
    wanted = sorted({message.key for message in messages}.union(keys))
    await sifting.lock(connection, wanted)
    if careful:
        await sifting.see_parked(connection, wanted)
    for message in messages:
        sifting.sort(message)
    if sifting.parked:
        # A key that waits may go on where its gap has closed meanwhile, even if no message of this batch closed it.
        for key in wanted:
            sifting.follow(key)
    await sifting.finish(connection)
    return sifting.result


def moving(sifted: Sifted) -> list[Statement]:
    """Return the statement that lets the inbox say that everything fresh in `sifted` is applied."""
    keys = sorted(sifted.moves)
    return [Statement(_MOVE, (*_columns(keys), [sifted.moves[key] for key in keys]))] if keys else []


def was_sound(sifted: Sifted, *, any_parked: bool | None) -> bool:
    """Say whether what was sifted may stand, told whether anything was parked when it moved the inbox.

    The locks are held since before that statement began, so it sees what another consumer of a key has parked.
    False: it was sifted without care, and there are parked messages. Roll back and sift with care.
    """
    if not sifted.moves:
        return sifted.careful or not sifted.waiting
    sifted.any_parked = bool(any_parked)
    return sifted.careful or not sifted.any_parked


async def park_bytes(connection: Connection, records: Sequence[Undecodable]) -> list[Undecodable]:
    """Store records that are no messages, each alone: they have no key that could wait behind them.

    Returns those that were not stored before.
    """
    rows = [
        (
            "",
            "",
            record.source,
            record.offset,
            record.topic,
            None,
            headers_to_json(record.headers),
            record.body,
            "undecodable",
            record.detail,
            None,
        )
        for record in records
    ]
    if not rows:
        return []
    stored = {(row[0], row[1]) for row in await connection.fetch(_STORE, *zip(*rows, strict=True))}
    return [record for record in records if (record.source, record.offset) in stored]


class _Sifting:
    """The sorting of one batch."""

    def __init__(self, wrong: Mapping[Place, Wrong], pull_max: int | None) -> None:
        self.result = Sifted()
        self.parked: dict[Key, dict[int, str]] = {}
        self._wrong = wrong
        self._pull_max = pull_max
        self._numbers: dict[Key, int] = {}
        self._pulled: list[tuple[Place, int]] = []
        self._turned: list[tuple[Place, Wrong, bool]] = []

    async def lock(self, connection: Connection, keys: list[Key]) -> None:
        rows = await connection.fetch(_LOCK, *_columns(keys))
        numbers = self._numbers
        for program, member, source, number in rows:
            numbers[program, member, source] = number
        if len(numbers) < len(keys):
            unseen = [key for key in keys if key not in numbers]
            for begun in await connection.fetch(_BEGIN, *_columns(unseen)):
                numbers[begun[0], begun[1], begun[2]] = 0
            if len(numbers) < len(keys):
                # Somebody else began these a moment ago: their rows can be seen now, and locked.
                raced = [key for key in unseen if key not in numbers]
                for program, member, source, number in await connection.fetch(_LOCK, *_columns(raced)):
                    numbers[program, member, source] = number

    async def see_parked(self, connection: Connection, keys: list[Key]) -> None:
        """Look at what is parked of these keys; asked after their locks are held, so that nothing is missed."""
        if await connection.fetchval(_ANY_PARKED):
            self.result.any_parked = True
            for program, member, source, sequence, reason in await connection.fetch(_PARKED, *_columns(keys)):
                self.parked.setdefault((program, member, source), {})[sequence] = reason

    def sort(self, message: Message) -> None:
        key = message.key
        number = self._numbers[key]
        sequence = message.sequence
        if sequence <= number:
            self.result.repeats += 1
            return
        parked = self.parked.get(key)
        if parked is not None and sequence in parked:
            self.result.repeats += 1
            return
        if sequence > number + 1:
            self._wait(message)
            return
        found = self._wrong.get(message.place) if self._wrong else None
        if found is not None:
            self.result.parked.append((message, found))
            self.parked.setdefault(key, {})[sequence] = found.reason
            return
        self._apply(message)
        if parked is not None:
            self.follow(key)

    def follow(self, key: Key) -> None:
        """Take the messages of `key` that waited and whose turn has come."""
        parked = self.parked.get(key)
        if not parked:
            return
        while parked.get(sequence := self._numbers[key] + 1) in WAITING:
            found = self._wrong.get((*key, sequence))
            if found is not None:
                self._park_waiting(key, sequence, found)
                return
            if self._pull_max is not None and len(self._pulled) >= self._pull_max:
                return
            self._take(key, sequence)

    def _park_waiting(self, key: Key, sequence: int, wrong: Wrong) -> None:
        retried = self.parked[key][sequence] == RETRY
        self.parked[key][sequence] = wrong.reason
        for index, waiting in enumerate(self.result.waiting):
            if waiting.sequence == sequence and waiting.key == key:
                del self.result.waiting[index]
                self.result.parked.append((waiting, wrong))
                return
        self._turned.append(((*key, sequence), wrong, retried))

    def _take(self, key: Key, sequence: int) -> None:
        del self.parked[key][sequence]
        # A message that waits in this very batch is at hand; others are fetched when the batch is sorted.
        for index, waiting in enumerate(self.result.waiting):
            if waiting.sequence == sequence and waiting.key == key:
                del self.result.waiting[index]
                self._apply(waiting)
                return
        self._pulled.append(((*key, sequence), len(self.result.fresh)))
        self._numbers[key] = sequence
        self.result.moves[key] = sequence

    def _apply(self, message: Message) -> None:
        self._numbers[message.key] = message.sequence
        self.result.moves[message.key] = message.sequence
        self.result.fresh.append(message)

    def _wait(self, message: Message) -> None:
        self.parked.setdefault(message.key, {})[message.sequence] = GAP
        self.result.waiting.append(message)

    async def finish(self, connection: Connection) -> None:
        """Fetch what was pulled, store what has to wait."""
        if self._pulled:
            await self._pull(connection)
        result = self.result
        rows = [_row(message, wrong) for message, wrong in result.parked]
        for message in result.waiting:
            why = self._why(message)
            rows.append(_row(message, why))
            if why.reason == BEHIND:
                result.behind.append((message, why))
        if rows:
            await connection.execute(_STORE, *zip(*rows, strict=True))
        for place, wrong, retried in self._turned:
            row = await connection.fetchrow(_PARK_AGAIN, *place, wrong.reason, wrong.detail)
            # That it is parked was said when it was parked first.
            if row is not None and not retried:
                result.parked.append((message_from(row), wrong))
        if result.parked:
            await self._block(connection)

    async def _block(self, connection: Connection) -> None:
        """Messages that waited for a gap to close wait behind a parked one now."""
        just_stored = {message.place for message in self.result.waiting}
        for parked, _ in list(self.result.parked):
            why = Wrong(BEHIND, f"waits behind {parked.sequence}, which is parked")
            for sequence, reason in sorted(self.parked[parked.key].items()):
                place = (*parked.key, sequence)
                if reason != GAP or sequence < parked.sequence or place in just_stored:
                    continue
                self.parked[parked.key][sequence] = BEHIND
                row = await connection.fetchrow(_PARK_AGAIN, *place, why.reason, why.detail)
                if row is not None:
                    self.result.behind.append((message_from(row), why))

    def _why(self, message: Message) -> Wrong:
        parked = self.parked[message.key]
        first = min(parked)
        number = self._numbers[message.key]
        if first == number + 1 and parked[first] not in WAITING:
            return Wrong(BEHIND, f"waits behind {first}, which is parked")
        self.result.gaps.append(message.place)
        return Wrong(GAP, f"waits for {number + 1}")

    async def _pull(self, connection: Connection) -> None:
        places = [place for place, _ in self._pulled]
        found: dict[Place, Message] = {}
        for row in await connection.fetch(
            _PULL, *_columns([place[:3] for place in places]), [place[3] for place in places]
        ):
            found[row["program"], row["member"], row["source"], row["sequence"]] = message_from(row)
        fresh: list[Message] = []
        at = 0
        for place, index in self._pulled:
            fresh.extend(self.result.fresh[at:index])
            fresh.append(found[place])
            at = index
        fresh.extend(self.result.fresh[at:])
        self.result.fresh = fresh


def _columns(keys: Sequence[Key]) -> tuple[list[str], list[str], list[str]]:
    return [key[0] for key in keys], [key[1] for key in keys], [key[2] for key in keys]


def _row(message: Message, wrong: Wrong) -> tuple[object, ...]:
    return (
        message.program,
        message.member,
        message.source,
        message.sequence,
        message.topic,
        message.type,
        headers_to_json(message.headers),
        message.body,
        wrong.reason,
        wrong.detail,
        message.correlation or None,
    )


def headers_to_json(headers: Mapping[str, bytes]) -> str:
    """Keep headers as text without losing a byte."""
    return json.dumps({name: value.decode("latin-1") for name, value in headers.items()})


def headers_from_json(text: str) -> dict[str, bytes]:
    return {name: value.encode("latin-1") for name, value in json.loads(text).items()}


@dataclass(slots=True)
class _Stored:
    """A parked row in the shape of the record that it was."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def message_from(row: asyncpg.Record) -> Message:
    """Read a parked message as it was read when it came."""
    headers = headers_from_json(str(row["headers"]))
    body = row["body"]
    assert isinstance(body, bytes)
    record = _Stored(
        str(row["topic"]), -1, -1, f"{row['program']}:{row['member']}".encode(), body, list(headers.items())
    )
    message = decode(record)
    if isinstance(message, Undecodable):
        raise TypeError(f"a parked message no longer decodes: {message.detail}")
    return message
