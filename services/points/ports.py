"""What the road needs from outside: a store that loads and writes wallets in sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple, Protocol

from services.points.domain.facts import AnyFact
from services.points.domain.moment import Programs
from services.points.domain.state import Balance, Wallet
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
    be asked for; `originals` the activities that returns speak of; `until` up to when time is due for whom. Of
    wallets in programs with tiers, `tiers` says how many days their windows reach back, and `counting` from which day
    on something may be counted.
    """

    wallets: set[WalletKey] = field(default_factory=set)
    enrolling: set[WalletKey] = field(default_factory=set)
    activities: set[ActivityKey] = field(default_factory=set)
    originals: dict[ActivityKey, WalletKey] = field(default_factory=dict)
    spending: dict[tuple[str, str, str], int] = field(default_factory=dict)
    holds: set[tuple[str, str, str]] = field(default_factory=set)
    until: dict[WalletKey, datetime] = field(default_factory=dict)
    tiers: dict[WalletKey, int] = field(default_factory=dict)
    counting: dict[WalletKey, date] = field(default_factory=dict)


@dataclass(slots=True)
class Loaded:
    """What the store found; every wallet asked for is there, unknown ones empty."""

    wallets: dict[WalletKey, Wallet]
    known: dict[ActivityKey, Known]


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


@dataclass(slots=True)
class Decided:
    """A journal with the balances as they stood right after it, and the message it answers, if any did.

    `again` marks an answer that was given before: its journal is read, not written. `standing` is where the member
    stood then, if the journal moved that.
    """

    message: Incoming | None
    journal: Journal
    balances: list[Balance]
    version: int
    again: bool = False
    standing: Shown | None = None


class Store(Protocol):
    """Loads and writes in sets, inside the caller's transaction."""

    async def load(self, needs: Needs) -> Loaded:
        """Lock the wallets in order, then read what the needs name."""

    async def write(self, journals: Sequence[Journal], touched: Iterable[Wallet]) -> None:
        """Write journals, entries and lots, and the totals of the wallets they touched."""

    async def facts_of(self, journals: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str, int], Journal]:
        """Return journals that were written before, by (program, member, number), for answers given again."""
