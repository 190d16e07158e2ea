"""What happened to two accounts that became one, or two again: each has its own journal of it."""

from __future__ import annotations

from services.points.domain.fact import Counted, Fact, LotPart


class MemberMerged(Fact, frozen=True, tag=True):
    """The account became a part of another, whose journal of it is `journal`.

    It is said again where something comes to this account later, such as points of a hold that is cancelled: that goes
    the same way. Where the other is a part of a third one by then, it says so itself. Before 0160 such things went to
    the third at once, and `part_of` was the other.
    """

    merge: str
    into: str
    journal: int
    part_of: str = ""

    @property
    def parent(self) -> str:
        """Return the account of which this one is a part."""
        return self.part_of or self.into


class MemberAbsorbed(Fact, frozen=True, tag=True):
    """Another account became a part of this one; `counted` is what it had counted in windows, or counts no more.

    `excused` is what had expired here of lots that it brought, and a return there did not ask for.
    """

    merge: str
    member: str
    journal: int
    counted: tuple[Counted, ...] = ()
    excused: tuple[LotPart, ...] = ()


class MemberUnmerged(Fact, frozen=True, tag=True):
    """The account is one of its own again; what is left of what it brought follows, and `expired` is what ended of it.

    No return asks for that.
    """

    merge: str
    into: str
    journal: int
    expired: tuple[LotPart, ...] = ()


class MemberParted(Fact, frozen=True, tag=True):
    """Another account is no part of this one any more; `counted` is what it takes with it.

    `expired` is what had ended here of lots that it had brought: it knows of that now, and nobody here any more.
    """

    merge: str
    member: str
    journal: int
    counted: tuple[Counted, ...] = ()
    expired: tuple[LotPart, ...] = ()


class MergeRefused(Fact, frozen=True, tag=True):
    """Two accounts did not become one, or not two again, as was `asked`."""

    merge: str
    into: str
    code: str
    detail: str = ""
    asked: str = "merge"
