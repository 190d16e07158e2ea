"""What the road needs from outside: a store that loads and writes in sets, and the programs' versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from services.redemption.domain.facts import AnyFact
from services.redemption.domain.heard import ClockTurned
from services.redemption.domain.moment import Blank, ProgramTerms
from services.redemption.domain.state import ResourceKey, RewardKey, SagaKey, State, TallyKey
from services.redemption.domain.vouchers import VoucherKey


@dataclass(slots=True)
class Needs:
    """What the messages of a batch can touch.

    `requested` are sagas that may have to be opened, `answered` those that somebody speaks of, `cancelled` those that
    are taken back, perhaps with their vouchers. `rewards` may be drawn from, by the first instant at which;
    `published` may have to be made first. `issued` are vouchers that may have to be made, `asked` those that something
    is asked of; `uses` are those of their uses, by reference, that are spoken of.
    """

    requested: set[SagaKey] = field(default_factory=set)
    answered: set[SagaKey] = field(default_factory=set)
    cancelled: set[SagaKey] = field(default_factory=set)
    rewards: dict[RewardKey, datetime] = field(default_factory=dict)
    published: set[RewardKey] = field(default_factory=set)
    issued: set[VoucherKey] = field(default_factory=set)
    asked: set[VoucherKey] = field(default_factory=set)
    uses: set[tuple[VoucherKey, str]] = field(default_factory=set)
    pieces: Counter[RewardKey] = field(default_factory=Counter)
    """How many pieces of each reward requests ask for: what costs no points is given at once."""
    given_at: datetime | None = None
    """The earliest moment at which any of the sagas may be given vouchers."""


@dataclass(slots=True)
class Decision:
    """What one message led to: its facts, kept for ever. `key`: of a saga or a voucher, None for a reward.

    `message` is the id of the message that was answered, '' where it was our own timer.
    """

    program: str
    key: SagaKey | VoucherKey | None
    step: int
    kind: str
    message: str
    at: datetime
    facts: tuple[AnyFact, ...]


class Incoming(Protocol):
    """A message as the road reads it."""

    @property
    def type(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def sequence(self) -> int: ...
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


class OpenTurn(NamedTuple):
    """A turn of a program's clock whose vouchers are not done yet; points made `converted` of them in it."""

    program: str
    as_of: datetime
    converted: int


class TurnWaits(NamedTuple):
    """A turn of a program's clock, to `as_of`, in which points rest until the waits up to an instant have ended."""

    program: str
    as_of: datetime
    until: datetime
    message: str
    correlation: str
    traceparent: str


class TurnSeen(NamedTuple):
    """How far a turn is: its vouchers, and what waited to be confirmed."""

    issued: int
    expired: int
    timed_out: int
    done: bool


class CodeGiven(NamedTuple):
    """A code of a partner, as it stood in a line of what was sent."""

    line: int
    code: str
    expires_at: datetime | None


class PoolFault(NamedTuple):
    """A line whose code was not taken, and why."""

    line: int
    code: str
    detail: str


class CodesTaken(NamedTuple):
    """How many codes a pool took, and which lines it did not take."""

    added: int
    faults: tuple[PoolFault, ...]


class ProgramBook(Protocol):
    """Programs that can be waited for (rule 12)."""

    async def ensure(self, versions: Mapping[str, int]) -> None:
        """Return once these versions are known; raises `TimeoutError` when they do not come."""

    def knows(self, program: str, version: int) -> bool:
        """Say whether a version is known."""

    def terms(self, program: str, version: int) -> ProgramTerms:
        """Return what redemption needs of a version that is known."""


class Store(Protocol):
    """Loads and writes in sets, inside the caller's transaction."""

    async def load(self, needs: Needs) -> State:
        """Lock members, then their sagas, then stock, each in order; then read what the needs name."""

    async def load_drawn(self, state: State, tallies: set[TallyKey], resources: set[ResourceKey]) -> None:
        """Lock, after all else and in order, what may be drawn from; read it, and resources, into the state."""

    def print_vouchers(
        self, key: SagaKey, reward: RewardKey, count: int, at: datetime, codes: Sequence[str] = (), *, of_pool: bool
    ) -> tuple[Blank, ...]:
        """Make codes for a saga of that reward, or take these; `write` keeps those that were issued.

        Nobody else ever sees one.

        `of_pool`: a partner has given them; it may be fewer, those that are good then and not handed out.
        """

    def print_voucher(self, key: VoucherKey) -> Blank:
        """Make the code of a voucher that points became; the same holds for it."""

    async def codes_known(self, program: str, codes: Sequence[str]) -> bool:
        """Say whether any of these codes of a partner was given before, to whomever."""

    async def uses_for(
        self, wanted: Collection[tuple[str, str, str]]
    ) -> Mapping[tuple[str, str, str], Sequence[VoucherKey]]:
        """Find the vouchers that were used for (program, partner, reference); unlocked, so deciding looks again."""

    async def begin_turns(self, turns: Sequence[ClockTurned]) -> None:
        """Note that clocks were turned; one that was noted before stays as it is."""

    async def begin_waits(self, waits: Sequence[TurnWaits]) -> None:
        """Note that points rest until waits have ended; what was noted before stays as it is."""

    async def forget_members(self, members: Sequence[tuple[str, str]]) -> None:
        """Destroy the keys of members who were erased; they never get another one."""

    async def write(self, decisions: Sequence[Decision], state: State) -> None:
        """Write decisions, vouchers and reward versions, and set the sagas and stock that they touched."""
