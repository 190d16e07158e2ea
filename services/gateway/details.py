"""What events tell of a member only when it moves: what is known of it, its counters, its segments.

Each has a name, and stands as of the event that told of it last.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROFILE: Final = "profile"
"""Person and attributes, once they were changed."""
SEGMENTS: Final = "segments"
"""The segments that the member belongs to, as a list."""
COUNTER: Final = "counter/"
"""How the names of counters begin; the cap, the unit and the first day of the window follow."""


class DetailSeen(NamedTuple):
    """A detail of a member after an event. Its order is that in which rows are taken."""

    program: str
    member: str
    detail: str
    body: bytes
    epoch: int
    sequence: int


class _Profile(msgspec.Struct):
    person: str | None
    attributes: msgspec.Raw


_decode_profile = msgspec.json.Decoder(_Profile).decode


def profile_of(body: bytes) -> dict[str, Any]:
    """Return what a member's row shows otherwise since it was changed."""
    profile = _decode_profile(body)
    return {"person": profile.person, "attributes": bytes(profile.attributes)}


class CounterTold(msgspec.Struct, rename={"from_": "from"}):
    """What a cap has let through in its window, as an event says it and as reads show it."""

    rule: str
    unit: str
    granted: int
    from_: date | None = None
    until: date | None = None
    limit: int | None = None


_decode_counter = msgspec.json.Decoder(CounterTold).decode


def counters_seen(
    program: str, member: str, told: Iterable[CounterTold], epoch: int, sequence: int
) -> tuple[DetailSeen, ...]:
    """Return the counters of an event, each a detail of its own."""
    return tuple(
        DetailSeen(program, member, _name_of(each), msgspec.json.encode(each), epoch, sequence) for each in told
    )


def _name_of(counter: CounterTold) -> str:
    return f"{COUNTER}{counter.rule}/{counter.unit}/{counter.from_ or ''}"


def counters_shown(told: Mapping[str, bytes], today: date | None) -> list[dict[str, Any]]:
    """Return the counters whose window a day lies in; without a day no clock was set, and the latest ones count.

    A window in which nothing was counted yet is not there.
    """
    latest: dict[tuple[str, str], CounterTold] = {}
    for name in sorted(name for name in told if name.startswith(COUNTER)):
        counter = _decode_counter(told[name])
        if today is None or _is_open(counter, today):
            latest[counter.rule, counter.unit] = counter
    return [
        {
            "rule": each.rule,
            "unit": each.unit,
            "from": each.from_,
            "until": each.until,
            "granted": each.granted,
            "limit": each.limit,
        }
        for each in latest.values()
    ]


def _is_open(counter: CounterTold, today: date) -> bool:
    return (counter.from_ is None or counter.from_ <= today) and (counter.until is None or today <= counter.until)
