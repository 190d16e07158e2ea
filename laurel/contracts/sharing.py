"""What the points service says of points that go from one wallet to another. Each wallet says its own half."""

from typing import ClassVar, Literal

from pydantic import Field

from laurel.contracts.envelope import Said
from laurel.contracts.points import CounterSeen, LotAmount, WalletEvent
from laurel.values import Id, Name, NotNegative, Positive, ProgramId, Reference, Text, Version

Direction = Literal["sent", "received"]


class PointsTransferred(WalletEvent):
    """The member gave points to `other`, or was given them; `lots` are where they were, or where they lie now.

    By `pooling` a member of a household paid what `transfer`, a hold or a gift of the other, was short of.

    The wallet of `other` stands at `other_version` with its half.
    """

    TYPE: ClassVar[str] = "points.transferred.v1"

    transfer: Reference
    direction: Direction
    other: Id
    other_version: Version = 0
    unit: Name
    amount: Positive
    lots: list[LotAmount] = Field(default_factory=list)
    reason: Literal["gift", "pooling"] = "gift"


class TransferRefused(WalletEvent):
    """Points were not given; `left` is how many may be given still, where a limit says so."""

    TYPE: ClassVar[str] = "points.transfer_refused.v1"

    transfer: Id
    to: Id
    unit: Name
    amount: Positive
    code: Name
    detail: Text = ""
    available: NotNegative = 0
    shortfall: NotNegative = 0
    left: NotNegative | None = None


class OtherSide(Said):
    """What an exchange did in the other program."""

    program: ProgramId
    member: Id
    unit: Name
    amount: NotNegative
    version: Version = 0


class PointsExchanged(WalletEvent):
    """Points were given for those of another program, or came of them; `other` is the other side of it."""

    TYPE: ClassVar[str] = "points.exchanged.v1"

    exchange: Id
    direction: Direction
    other: OtherSide
    unit: Name
    amount: Positive
    lots: list[LotAmount] = Field(default_factory=list)


class ExchangeRefused(WalletEvent):
    """Points were not exchanged."""

    TYPE: ClassVar[str] = "points.exchange_refused.v1"

    exchange: Id
    to: Id
    to_program: ProgramId
    unit: Name
    amount: Positive
    code: Name
    detail: Text = ""
    available: NotNegative = 0
    shortfall: NotNegative = 0


class MemberMerged(WalletEvent):
    """The account became a part of `other`, or `other` of this one, which answers for both from now on.

    It is said again where something comes to the merged one later, such as points of a hold that is cancelled: `merge`
    then names what brought them. Along a chain of merges each account says so of the next. `counters` are those of the
    survivor that moved. `part_of` is said no more; it was the account of which the merged one is a part, where what
    came went to another at once.
    """

    TYPE: ClassVar[str] = "member.merged.v1"

    merge: Reference
    role: Literal["merged", "survivor"]
    other: Id
    other_version: Version = 0
    counters: list[CounterSeen] = Field(default_factory=list)
    part_of: Id | None = None


class MemberUnmerged(WalletEvent):
    """The account is one of its own again, with what was left of what it had brought; or `other` is.

    `counters` are those of the survivor that moved.
    """

    TYPE: ClassVar[str] = "member.unmerged.v1"

    merge: Id
    role: Literal["merged", "survivor"]
    other: Id
    other_version: Version = 0
    counters: list[CounterSeen] = Field(default_factory=list)


class MergeRefused(WalletEvent):
    """Two accounts did not become one, or not two again, as was `asked`."""

    TYPE: ClassVar[str] = "member.merge_refused.v1"

    merge: Id
    into: Id
    asked: Literal["merge", "unmerge"] = "merge"
    code: Name
    detail: Text = ""


class HouseholdChanged(WalletEvent):
    """The member belongs to a household as it is now; without `members` it does not any more."""

    TYPE: ClassVar[str] = "member.household_changed.v1"

    household: Id
    members: list[Id] = Field(default_factory=list)
    pooling: bool = False
