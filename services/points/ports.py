"""What the road needs from outside: a store that loads and writes wallets in sets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, NamedTuple, Protocol

from laurel.program.segments import Cut
from services.points.domain.facts import AnyFact, Household
from services.points.domain.moment import Programs
from services.points.domain.shared import Block, BlockName, BudgetName, KeyName, Shared
from services.points.domain.state import Adjustment, Balance, Hold, Wallet
from services.points.domain.tiering import Shown


class WalletKey(NamedTuple):
    """Names a wallet. Sorting keys gives the order in which wallets are locked."""

    program: str
    member: str


class ActivityKey(NamedTuple):
    """Names an activity for ever (S8)."""

    program: str
    partner: str
    activity: str


@dataclass(slots=True)
class Known:
    """An activity id that was used before: its owner, what was sent, and how it ended."""

    member: str
    journal: int
    hash: str
    code: str | None


@dataclass(slots=True)
class Needs:
    """What the messages of a batch can touch.

    `wallets` are locked; `enrolling` those that may have to be made first; `spending` how many points of a unit may
    be asked for; `originals` the activities that returns speak of; `until` up to when time is due for whom; `keys`
    what may be credited once, `budgets` what rules may draw from; `clocks` the programs whose now is needed.
    `counters` are named by wallet, counter and an instant: needed is the newest window that starts by then. Of
    wallets in programs with tiers, `tiers` says how many days their windows reach back, and `counting` from which day
    on something may be counted; `segments` are wallets in programs with segments. `people`
    are named like counters, with the start of their window, and counted of the wallet's person, or of `persons` that a
    message names for it. `whole` names wallets of which everything is needed that is open.
    `converting` are wallets whose points may become vouchers by `until`. `blocks` may be drawn from; `unfunded` are
    journals that may wait for one; `awaiting` names, by wallet, the types of activities that pending lots may have
    awaited; `journals` are needed as originals are, by wallet and number; `refilling` names, by program, the blocks
    that are needed where something ends while it is pending. `late` says of wallets for which something is reported
    late since when it has to be known what ended, and what kept points alive. `all_refusals`: of windows that returns
    make room in, not only the oldest refusals are needed that could take it up. `lapsing` are units of wallets of which
    all may turn out to have ended by inactivity, if nothing is known that keeps them.
    """

    wallets: set[WalletKey] = field(default_factory=set)
    enrolling: set[WalletKey] = field(default_factory=set)
    activities: set[ActivityKey] = field(default_factory=set)
    originals: dict[ActivityKey, WalletKey] = field(default_factory=dict)
    spending: dict[tuple[str, str, str], int] = field(default_factory=dict)
    holds: set[tuple[str, str, str]] = field(default_factory=set)
    adjustments: set[tuple[str, str, str]] = field(default_factory=set)
    clocks: set[str] = field(default_factory=set)
    until: dict[WalletKey, datetime] = field(default_factory=dict)
    counters: set[tuple[str, str, str, datetime]] = field(default_factory=set)
    keys: set[KeyName] = field(default_factory=set)
    budgets: set[BudgetName] = field(default_factory=set)
    tiers: dict[WalletKey, int] = field(default_factory=dict)
    converting: set[WalletKey] = field(default_factory=set)
    counting: dict[WalletKey, date] = field(default_factory=dict)
    segments: set[WalletKey] = field(default_factory=set)
    people: set[tuple[str, str, str, datetime]] = field(default_factory=set)
    persons: dict[WalletKey, set[str]] = field(default_factory=dict)
    whole: set[WalletKey] = field(default_factory=set)
    blocks: set[BlockName] = field(default_factory=set)
    unfunded: set[tuple[str, str, int]] = field(default_factory=set)
    awaiting: set[tuple[str, str, str]] = field(default_factory=set)
    journals: set[tuple[str, str, int]] = field(default_factory=set)
    refilling: dict[str, set[BlockName]] = field(default_factory=dict)
    late: dict[WalletKey, datetime] = field(default_factory=dict)
    all_refusals: bool = False
    lapsing: set[tuple[str, str, str]] = field(default_factory=set)


@dataclass(slots=True)
class Loaded:
    """What the store found; every wallet asked for is there, unknown ones empty."""

    wallets: dict[WalletKey, Wallet]
    known: dict[ActivityKey, Known]
    shared: Shared = field(default_factory=Shared)
    clocks: dict[str, datetime] = field(default_factory=dict)


@dataclass(slots=True)
class Journal:
    """One decision: a message or an instant, a wallet, and the facts. It becomes one row, kept for ever."""

    wallet: Wallet
    number: int
    kind: str
    cause: str
    at: datetime
    facts: tuple[AnyFact, ...]
    occurred_at: datetime
    partner: str = ""
    version: int = 0
    message: str = ""
    body: bytes | None = None
    hash: str = ""
    code: str | None = None
    kept: bool = True
    correlation: str = ""
    traceparent: str = ""
    funded_in: int | None = None


class Incoming(Protocol):
    """A message as the road reads it."""

    @property
    def type(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def program(self) -> str: ...
    @property
    def member(self) -> str: ...
    @property
    def correlation(self) -> str: ...
    @property
    def traceparent(self) -> str: ...
    @property
    def body(self) -> bytes: ...


class Announcement(NamedTuple):
    """One event to be said: a contract type, its JSON, and what it answers."""

    program: str
    member: str
    type: str
    body: bytes
    at: datetime
    causation: str
    correlation: str
    traceparent: str


class ProgramBook(Programs, Protocol):
    """Programs that can be waited for (rule 12)."""

    async def ensure(self, versions: Mapping[str, int]) -> None:
        """Return once these versions are known; raises `TimeoutError` when they do not come."""

    def knows(self, program: str, version: int) -> bool:
        """Say whether everything that was published up to a version is known."""


@dataclass(slots=True)
class Decided:
    """A journal with the balances as they stood right after it, and the message it answers, if any did.

    `again` marks an answer that was given before: its journal is read, not written. `holds` and
    `adjustments` are those that the journal speaks of, as they stood then; `standing` is where the member
    stood then, if the journal moved that.
    """

    message: Incoming | None
    journal: Journal
    balances: list[Balance]
    version: int
    again: bool = False
    holds: dict[str, Hold] = field(default_factory=dict)
    adjustments: dict[str, Adjustment] = field(default_factory=dict)
    standing: Shown | None = None
    turned_to: datetime | None = None
    shared: list[Decided] = field(default_factory=list)
    """What the same message led to in the wallets of others."""
    funded: bool = False
    """Whether what waited for a block then does no longer: said of answers that are given again."""


class Turn(NamedTuple):
    """A turn of a program's clock, as it was asked for."""

    program: str
    as_of: datetime
    message: str
    correlation: str
    traceparent: str


class OpenTurn(NamedTuple):
    """A turn that is not done yet: up to whom its members are handed out, in which walk, and how many pages are out.

    `part_to`: this walk does what is due by then, since a wait ends right after it, or it is the turn's end; not known
    before the walk has begun.
    """

    turn: Turn
    after: str
    walk: int
    in_hand: int
    part_to: datetime | None = None

    @property
    def until(self) -> datetime:
        """Return up to when this walk does what is due."""
        return self.part_to or self.turn.as_of

    @property
    def is_last_part(self) -> bool:
        """Say whether this walk goes to the turn's end."""
        return self.until >= self.turn.as_of


class Waits(NamedTuple):
    """When on a turn's way the next wait ends, and before which instant no member has a second one that ends."""

    first: datetime
    alone_before: datetime | None


class WaitsOver(NamedTuple):
    """Of a turn redemption has ended all waits up to an instant."""

    program: str
    as_of: datetime
    until: datetime


class OpenJudgement(NamedTuple):
    """A judgement of a program's members that is not done yet, and the member up to whom its present part is."""

    program: str
    at: datetime
    state: str
    after: str
    cuts: dict[str, Cut]


class Page(NamedTuple):
    """Some members of a program in their order: those with something due, the last one, whether it is the end."""

    due: list[WalletKey]
    last: str
    is_last: bool


class Relation(NamedTuple):
    """Whom a member brings along: who referred it, and whom its attributes name."""

    member: str
    referred_by: str | None
    attributes: dict[str, Any]


class Payment(NamedTuple):
    """What a partner paid in advance; `as_of` is the program's now where its clock is manual and was set.

    `versions` is the version up to which is known what was said of partners.
    """

    program: str
    partner: str
    reference: str
    unit: str
    units: int
    amount: int
    currency: str
    at: datetime
    as_of: datetime | None
    versions: int
    message: str
    correlation: str
    traceparent: str


class Remembered(NamedTuple):
    """A message that was answered before, as far as a later answer to it has to name it."""

    type: str
    id: str
    program: str
    member: str
    correlation: str
    traceparent: str
    body: bytes = b""


class Paid(NamedTuple):
    """How a block stands after a payment that is new, was noted before, or is beyond its limit."""

    block: Block
    outcome: Literal["new", "known", "beyond"]


class OpenPayment(NamedTuple):
    """A payment whose queue was not gone through yet, and the number up to which it was."""

    payment: Payment
    after: int


class Waiting(NamedTuple):
    """An activity that waits for a block, with what its answer has to name."""

    program: str
    member: str
    journal: int
    number: int
    partner: str
    activity: str
    message: str
    correlation: str
    traceparent: str


class Store(Protocol):
    """Loads and writes in sets, inside the caller's transaction."""

    async def load(self, needs: Needs) -> Loaded:
        """Lock the wallets in order, then read what the needs name."""

    async def households(self, keys: Collection[WalletKey]) -> dict[WalletKey, Household]:
        """Return the households of members, of those who are in one, without locking anything."""

    async def write(self, journals: Sequence[Journal], touched: Iterable[Wallet]) -> None:
        """Write journals, entries and lots, and the totals of the wallets they touched."""

    async def begin_turns(self, turns: Sequence[Turn]) -> None:
        """Note that clocks are to be turned; one that was noted before stays as it is."""

    async def go_on(self, over: Sequence[WaitsOver]) -> None:
        """Let turns go on that rested while redemption ended waits; one that went on before is left alone."""

    async def relations(self, wallets: Sequence[WalletKey]) -> dict[WalletKey, Relation]:
        """Return whom members bring along, without locking anything; those whom nobody enrolled are left out."""

    async def pay(self, payment: Payment, limit: int) -> Paid:
        """Note what was paid in advance, once, unless that would make more units than `limit`."""

    async def facts_of(self, journals: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str, int], Journal]:
        """Return journals that were written before, by (program, member, number), for answers given again."""
