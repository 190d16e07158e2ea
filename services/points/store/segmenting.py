"""Segments in a table: a book a member, loaded and written in sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from laurel.program.belonging import Belonged, Belonging, SegmentBook, SegmentsChanged
from services.points.domain.state import Wallet
from services.points.ports import Journal, Needs, WalletKey

_READ = """
    select s.*
    from unnest($1::text[], $2::text[]) as k (program, member)
    cross join lateral (
        select program, member, held, past from segments
        where program = k.program and member = k.member offset 0) s"""

_SET = """
    insert into segments (program, member, names, held, past)
    select program, member, string_to_array(names, ' '), held, past
    from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[]) as n (program, member, names, held, past)
    on conflict (program, member) do update set names = excluded.names, held = excluded.held, past = excluded.past"""

_held = msgspec.json.Decoder(tuple[Belonging, ...])
_past = msgspec.json.Decoder(tuple[Belonged, ...])
_encode = msgspec.json.encode


def book_of(held: bytes, past: bytes) -> SegmentBook:
    """Return the book that a row keeps."""
    return SegmentBook(_held.decode(held), _past.decode(past))


async def read_segments(connection: asyncpg.Connection[Any], needs: Needs, wallets: Mapping[WalletKey, Wallet]) -> None:
    """Read to which segments members belong, and did before. One that never belonged to any has no row."""
    keys = sorted(key for key in needs.segments if wallets[key].version)
    if not keys:
        return
    for program, member, held, past in await connection.fetch(_READ, *_columns(keys)):
        wallets[WalletKey(program, member)].segments = book_of(held, past)


async def write_segments(connection: asyncpg.Connection[Any], journals: Iterable[Journal]) -> None:
    """Write the books that facts of a batch moved, as they stand now. Names have no spaces, so one text holds them."""
    moved = {
        WalletKey(journal.wallet.program, journal.wallet.member): journal.wallet
        for journal in journals
        if any(isinstance(fact, SegmentsChanged) for fact in journal.facts)
    }
    if moved:
        rows = [(*key, " ".join(book.names), _encode(book.held), _encode(book.past))
                for key in sorted(moved) for book in (moved[key].segments,)]  # fmt: skip
        await connection.execute(_SET, *_columns(rows))


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
