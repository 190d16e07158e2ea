"""How a wallet stands after an event, read from what every event of it has."""

from __future__ import annotations

import msgspec

from services.gateway.details import SEGMENTS, DetailSeen
from services.gateway.told.telling import Counted, Heard, Summary, Told, encode, place_of

EMPTY_LIST = msgspec.Raw(b"[]")


NULL = msgspec.Raw(b"null")


class _SegmentSeen(msgspec.Struct):
    name: str
    since: str
    primary: bool = False
    until: str | None = None


class Wallet(msgspec.Struct):
    balances: msgspec.Raw = EMPTY_LIST
    version: int = 0
    tier_standing: msgspec.Raw = NULL
    segments: list[_SegmentSeen] | None = None


class _Lifetime(msgspec.Struct, gc=False):
    earned: Counted = 0
    spent: Counted = 0
    expired: Counted = 0
    reversed: Counted = 0
    adjusted: Counted = 0


class _Balance(msgspec.Struct, gc=False):
    unit: str
    available: Counted
    pending: Counted = 0
    held: Counted = 0
    owed: Counted = 0
    lifetime: _Lifetime | None = None


class _Progress(msgspec.Struct, gc=False):
    counter: str
    until: str | None = None


class _TierStanding(msgspec.Struct):
    name: str
    years: int = 0
    years_from: int | None = None
    progress: list[_Progress] = msgspec.field(default_factory=list)


decode_wallet = msgspec.json.Decoder(Wallet).decode


_decode_balances = msgspec.json.Decoder(list[_Balance]).decode


_decode_standing = msgspec.json.Decoder(_TierStanding | None).decode


def moved(message: Heard) -> Told:
    """An event that answers no request of ours, and moves a wallet."""
    return Told(summary=summary_of(message, decode_wallet(message.body)))


def summary_of(message: Heard, said: Wallet) -> Summary | None:
    if not message.member:
        return None
    return Summary(
        message.program,
        message.member,
        place_of(message.source, message.sequence),
        said.version,
        read_balances(said.balances),
        read_standing(said.tier_standing),
    )


def segments_of(message: Heard, said: Wallet) -> tuple[DetailSeen, ...]:
    if said.segments is None:
        return ()
    place, body = place_of(message.source, message.sequence), encode(said.segments)
    return (DetailSeen(message.program, message.member, SEGMENTS, body, place.epoch, place.sequence),)


def read_balances(said: msgspec.Raw) -> bytes:
    """Return balances as they came, once it is known that they are some."""
    _decode_balances(said)
    return bytes(said)


def read_standing(said: msgspec.Raw) -> bytes | None:
    return bytes(said) if _decode_standing(said) is not None else None


def segment_changed(message: Heard) -> Told:
    said = decode_wallet(message.body)
    return Told(summary=summary_of(message, said), details=segments_of(message, said))
