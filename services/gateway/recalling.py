"""What the owners tell again, read as it was read when it came first, and put together to what each row is to show.

Pure. Whatever the owner told of one member stands at one place: that of the last event of which it had been said then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from laurel.contracts import points
from services.gateway.details import DetailSeen
from services.gateway.naming import ACTIVITY, Correlation, RequestKey
from services.gateway.outcomes import told_by
from services.gateway.told.telling import FREED, PENDING, OperationSeen, Outcome, Place, RedemptionSeen, place_of

ERASED: Final = "erased"
_NAMING_ACTIVITIES: Final = frozenset(
    kind.TYPE
    for kind in (points.PointsAwarded, points.PointsClawedBack, points.ActivityPending, points.ActivityRefused)
)


class _Contained(msgspec.Struct):
    source: str
    sequence: int


class WalletTold(msgspec.Struct):
    """A wallet as it stands: the last that points tells of a member."""

    status: str
    version: int
    enrolled_at: datetime | None = None
    person: str | None = None
    attributes: msgspec.Raw = msgspec.Raw(b"{}")
    referred_by: str | None = None
    merged_into: str | None = None
    household: str | None = None


class Line(msgspec.Struct):
    """A line of what an owner tells: an event as it was said, a wallet, or a redemption that nothing was said of."""

    member: str
    contains: dict[str, _Contained]
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    hash: str = ""
    wallet: WalletTold | None = None
    broken: str = ""
    """Why no more can be told of the member."""
    redemption: str = ""
    partner: str = ""
    reward: str = ""
    document: msgspec.Raw = msgspec.Raw(b"{}")
    published_at: datetime | None = None

    @property
    def last(self) -> _Contained:
        """The last event that had been said when this was told."""
        (last,) = self.contains.values()
        return last

    @property
    def place(self) -> Place:
        return place_of(self.last.source, self.last.sequence)


class _Named(msgspec.Struct):
    activity: str
    partner: str = ""
    share_of: str | None = None


read_line = msgspec.json.Decoder(Line).decode
_read_named = msgspec.json.Decoder(_Named).decode


@dataclass(frozen=True, slots=True)
class _Heard:
    """An event that is told again, as far as outcomes read one."""

    source: str
    sequence: int
    type: str
    program: str
    member: str
    correlation: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ActivityTold:
    """What became of an activity that a caller reported, whose it is, and the hash by which repeats are known."""

    outcome: Outcome
    member: str
    hash: str


@dataclass(slots=True)
class MemberTold:
    """All that points told of one member, put together."""

    program: str
    member: str
    source: str
    place: Place
    balances: bytes | None = None
    tier: bytes | None = None
    details: dict[str, DetailSeen] = field(default_factory=dict)
    operations: dict[tuple[str, str], OperationSeen] = field(default_factory=dict)
    activities: dict[RequestKey, ActivityTold] = field(default_factory=dict)
    wallet: WalletTold | None = None
    """Set by the last line: what is there now is whole."""
    broken: str = ""
    """Why it will not be: the member stays as it is shown."""
    _settled: set[RequestKey] = field(default_factory=set)

    @property
    def is_erased(self) -> bool:
        return self.wallet is not None and self.wallet.status == ERASED

    def hear(self, line: Line) -> None:
        """Take in the next line."""
        if self.broken:
            return
        self.broken = line.broken
        try:
            self._hear(line)
        except (msgspec.MsgspecError, ValueError) as error:
            self.broken = f"{line.type} cannot be read: {error}"

    @property
    def is_over(self) -> bool:
        """Say whether nothing more will be told that is of use."""
        return self.wallet is not None or bool(self.broken)

    def _hear(self, line: Line) -> None:
        if line.broken:
            return
        if line.wallet is not None:
            self.wallet = line.wallet
            return
        told = told_by(_heard(self.program, line))
        if told.summary is not None:
            self.balances = self.balances if told.summary.balances is None else told.summary.balances
            self.tier = self.tier if told.summary.tier is None else told.summary.tier
        self.details.update({each.detail: each for each in told.details})
        if told.operation is not None:
            self.operations[told.operation.kind, told.operation.id] = told.operation
        if told.outcome is not None and line.hash:
            self._settle(told.outcome, line.hash)

    def _settle(self, outcome: Outcome, hash_: str) -> None:
        """Keep what became of an activity: the first that is final, for ever."""
        key = outcome.correlation.key
        if key in self._settled or outcome.state == FREED:
            return
        self.activities[key] = ActivityTold(outcome, self.member, hash_)
        if outcome.state != PENDING:
            self._settled.add(key)

    def take_activities(self) -> list[ActivityTold]:
        """Return what became of activities since the last time; a member may have very many."""
        taken = list(self.activities.values())
        self.activities.clear()
        return taken


@dataclass(frozen=True, slots=True)
class RedemptionTold:
    """How redemption says that a redemption stands, and of which reward it is."""

    seen: RedemptionSeen
    member: str
    reward: str


def redemption_told(program: str, line: Line) -> RedemptionTold | None:
    """Read a line of redemption's; None where nothing was said of that redemption yet."""
    told = told_by(_heard(program, line)) if line.type else None
    if told is None or told.redemption is None:
        return None
    return RedemptionTold(told.redemption, line.member, line.reward)


def _heard(program: str, line: Line) -> _Heard:
    last, body = line.last, bytes(line.data)
    return _Heard(last.source, last.sequence, line.type, program, line.member, _asked(program, line.type, body), body)


def _asked(program: str, type_: str, body: bytes) -> str:
    """Return the request that an event answered, where that follows from what it says: the report of its activity."""
    if type_ not in _NAMING_ACTIVITIES:
        return ""
    named = _read_named(body)
    if named.share_of is not None or not named.partner:
        return ""
    return str(Correlation(RequestKey(program, ACTIVITY, named.partner, named.activity), 1))
