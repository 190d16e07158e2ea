"""One consumer group by the classic protocol: members join, their leader assigns, all keep saying that they live.

https://cwiki.apache.org/confluence/display/KAFKA/Kafka+Client-side+Assignment+Proposal tells the rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from uuid import uuid4

from laurel.embedded.kafka.errors import Code, RefusedError

FIRST_JOIN_SECONDS = 0.02
"""How long a group that has nobody waits for others who start at the same moment."""


class State(Enum):
    """What a group is at."""

    EMPTY = "empty"
    JOINING = "joining"
    """Whoever belongs to it has to join again before it goes on."""
    ASSIGNING = "assigning"
    """Everybody has joined and waits for what the leader assigns."""
    STABLE = "stable"


@dataclass(frozen=True, slots=True)
class Joined:
    """What a member is told when everybody has joined; only the leader is told of the others."""

    generation: int
    protocol: str
    leader: str
    member: str
    members: Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class _Member:
    name: str
    session_seconds: float
    rebalance_seconds: float
    protocols: list[tuple[str, bytes]]
    alive_until: float = 0.0
    joining: asyncio.Future[Joined] | None = None
    syncing: asyncio.Future[bytes] | None = None
    assigned: bytes = b""

    def metadata(self, protocol: str) -> bytes:
        return dict(self.protocols)[protocol]


@dataclass(frozen=True, slots=True)
class Request:
    """A wish to join."""

    member: str
    """Empty: somebody new."""
    client: str
    session_seconds: float
    rebalance_seconds: float
    kind: str
    protocols: list[tuple[str, bytes]]


class Group:
    """Who belongs to a group and where it has read to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.state = State.EMPTY
        self.offsets: dict[tuple[str, int], tuple[int, str | None]] = {}
        """(offset, what the client noted) by (topic, partition)."""
        self._loop = loop
        self._members: dict[str, _Member] = {}
        self._generation = 0
        self._kind = ""
        self._protocol = ""
        self._leader = ""
        self._first = False
        self._joined_by: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None

    def join(self, request: Request) -> asyncio.Future[Joined]:
        """Let somebody in; the answer comes when everybody else has joined, too, or was given up.

        Raises:
            RefusedError: the member is not known, or has no protocol in common with the others.
        """
        if request.member and request.member not in self._members:
            raise RefusedError(Code.UNKNOWN_MEMBER_ID)
        if not self._fits(request):
            raise RefusedError(Code.INCONSISTENT_GROUP_PROTOCOL)
        answer: asyncio.Future[Joined] = self._loop.create_future()
        member = self._members.get(request.member)
        if member is not None and self._is_nothing_new(member, request):
            self._touch(member)
            answer.set_result(self._told(member))
            return answer
        if member is None:
            name = f"{request.client}-{uuid4()}"
            member = _Member(name, request.session_seconds, request.rebalance_seconds, request.protocols)
            self._members[name] = member
            self._kind = request.kind
        member.session_seconds, member.rebalance_seconds = request.session_seconds, request.rebalance_seconds
        member.protocols = request.protocols
        if member.joining is not None and not member.joining.done():
            member.joining.cancel()
        member.joining = answer
        self._touch(member)
        self._rebalance()
        return answer

    def forget_if_lost(self, joined: asyncio.Future[Joined]) -> None:
        """Let somebody new go whose wish to join was given up before it was answered."""
        if joined.cancelled():
            lost = [name for name, member in self._members.items() if member.joining is joined]
            if lost:
                self._drop(lost)

    def _fits(self, request: Request) -> bool:
        others = [member for member in self._members.values() if member.name != request.member]
        if not request.protocols or (others and request.kind != self._kind):
            return False
        common = {name for name, _ in request.protocols}
        for other in others:
            common &= {name for name, _ in other.protocols}
        return bool(common)

    def _is_nothing_new(self, member: _Member, request: Request) -> bool:
        """A member whose answer was lost asks again; its leader, or one with news, wants everybody to begin anew."""
        return (
            self.state in (State.ASSIGNING, State.STABLE)
            and member.protocols == request.protocols
            and (self.state is State.ASSIGNING or member.name != self._leader)
        )

    def _rebalance(self) -> None:
        """Have everybody join again, unless that is so already; and go on if everybody has."""
        if self.state is not State.JOINING:
            wait = max((member.rebalance_seconds for member in self._members.values()), default=0.0)
            if self.state is State.EMPTY:
                wait = FIRST_JOIN_SECONDS
            self._first = self.state is State.EMPTY
            self.state = State.JOINING
            for member in self._members.values():
                if member.syncing is not None and not member.syncing.done():
                    member.syncing.set_exception(RefusedError(Code.REBALANCE_IN_PROGRESS))
                member.syncing = None
            self._joined_by = self._loop.call_later(wait, self._all_joined)
        if not self._first and all(member.joining is not None for member in self._members.values()):
            self._all_joined()

    def _all_joined(self) -> None:
        if self._joined_by is not None:
            self._joined_by.cancel()
            self._joined_by = None
        self._members = {name: member for name, member in self._members.items() if member.joining is not None}
        self._generation += 1
        if not self._members:
            self.state = State.EMPTY
            return
        if self._leader not in self._members:
            self._leader = next(iter(self._members))
        common = set.intersection(*({name for name, _ in member.protocols} for member in self._members.values()))
        self._protocol = next(name for name, _ in self._members[self._leader].protocols if name in common)
        self.state = State.ASSIGNING
        for member in self._members.values():
            self._touch(member)
            member.assigned = b""
            waiting, member.joining = member.joining, None
            if waiting is not None and not waiting.done():
                waiting.set_result(self._told(member))

    def _told(self, member: _Member) -> Joined:
        others: list[tuple[str, bytes]] = []
        if member.name == self._leader:
            others = [(name, other.metadata(self._protocol)) for name, other in self._members.items()]
        return Joined(self._generation, self._protocol, self._leader, member.name, others)

    def sync(self, name: str, generation: int, assigned: Mapping[str, bytes]) -> asyncio.Future[bytes]:
        """Take what the leader assigns; the answer, what `name` was assigned, comes when the leader has said it.

        Raises:
            RefusedError: not a member of this generation, or everybody has to join again.
        """
        member = self._member(name, generation)
        if self.state is State.JOINING:
            raise RefusedError(Code.REBALANCE_IN_PROGRESS)
        answer: asyncio.Future[bytes] = self._loop.create_future()
        self._touch(member)
        if self.state is State.ASSIGNING and name == self._leader:
            self.state = State.STABLE
            for other in self._members.values():
                other.assigned = assigned.get(other.name, b"")
                waiting, other.syncing = other.syncing, None
                if waiting is not None and not waiting.done():
                    self._touch(other)
                    waiting.set_result(other.assigned)
        if self.state is State.STABLE:
            answer.set_result(member.assigned)
        else:
            member.syncing = answer
        return answer

    def beat(self, name: str, generation: int) -> None:
        """Note that a member lives.

        Raises:
            RefusedError: not a member of this generation, or everybody has to join again.
        """
        self._touch(self._member(name, generation))
        if self.state is State.JOINING:
            raise RefusedError(Code.REBALANCE_IN_PROGRESS)

    def leave(self, name: str) -> None:
        """Let a member go.

        Raises:
            RefusedError: it is none.
        """
        if name not in self._members:
            raise RefusedError(Code.UNKNOWN_MEMBER_ID)
        self._drop([name])

    def may_commit(self, name: str, generation: int) -> None:
        """Return if offsets may be noted: by a member of this generation, or by anybody where nobody is a member.

        Raises:
            RefusedError: else.
        """
        if generation < 0 and not self._members:
            return
        self._touch(self._member(name, generation))
        if self.state is State.ASSIGNING:
            raise RefusedError(Code.REBALANCE_IN_PROGRESS)

    def _member(self, name: str, generation: int) -> _Member:
        member = self._members.get(name)
        if member is None:
            raise RefusedError(Code.UNKNOWN_MEMBER_ID)
        if generation != self._generation:
            raise RefusedError(Code.ILLEGAL_GENERATION)
        return member

    def _touch(self, member: _Member) -> None:
        member.alive_until = self._loop.time() + member.session_seconds
        if self._looking is None:
            self._looking = self._loop.call_at(member.alive_until, self._look)

    def _look(self) -> None:
        """Give up members that have not been heard of for their session; who waits for an answer lives."""
        self._looking = None
        now = self._loop.time()
        waiting = [member for member in self._members.values() if member.joining or member.syncing]
        for member in waiting:
            member.alive_until = now + member.session_seconds
        silent = [name for name, member in self._members.items() if member.alive_until <= now]
        if silent:
            self._drop(silent)
        if self._members:
            soonest = min(member.alive_until for member in self._members.values())
            self._looking = self._loop.call_at(soonest, self._look)

    def _drop(self, names: Sequence[str]) -> None:
        for name in names:
            member = self._members.pop(name)
            for waiting in (member.joining, member.syncing):
                if waiting is not None and not waiting.done():
                    waiting.set_exception(RefusedError(Code.UNKNOWN_MEMBER_ID))
        if self._members:
            self._rebalance()
        else:
            self._generation += 1
            self.state = State.EMPTY
            if self._joined_by is not None:
                self._joined_by.cancel()
                self._joined_by = None


class Groups:
    """All groups by name; asking for one makes it."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    def of(self, name: str) -> Group:
        if name not in self._groups:
            self._groups[name] = Group(asyncio.get_running_loop())
        return self._groups[name]
