"""The cases file of a program: worked examples that say, to the last point, what the program must award.

A case is a member and a list of steps in order of time. A step reports an activity (a purchase, a return, anything that
`POST …/activities` takes, without its member), spends points, or only waits until an instant; what it expects is
checked right after. What a case does not mention is not checked; `awards` and `reversals`, once mentioned, are
complete.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from laurel.errors import Fault
from laurel.program.caps import CapReason
from laurel.program.document import CounterName, ProgramDocument, RuleId, UnitName
from laurel.program.faults import ProgramFaults, faults_of
from laurel.program.loading import dump_program, load_program
from laurel.program.reading import read_yaml
from laurel.values import Amount, Attributes, Day, Id, Instant, NotNegative, PartnerId, Positive, ProgramId


class CasePart(BaseModel):
    """Any part of a cases file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Reversal(CasePart):
    """What a return takes back of one rule: so much in all, from lots, expired before, and owed."""

    amount: Positive
    taken: NotNegative | None = None
    expired: NotNegative | None = None
    owed: NotNegative | None = None


class Balance(CasePart):
    """What a member has of a unit."""

    available: Amount | None = None
    pending: Amount | None = None
    owed: Amount | None = None


class StandsAs(CasePart):
    """Where a member stands: its tier, since when and until when, its years, its benefits, what its counters show."""

    name: str
    since: Day | None = None
    until: Day | None = None
    years: NotNegative | None = None
    benefits: tuple[str, ...] | None = None
    counters: dict[CounterName, NotNegative] | None = None


class VoucherSeen(CasePart):
    """A voucher that a conversion made: its value, what became of it, and the last day on which it is good."""

    value: Positive
    state: Literal["issued", "spent", "expired"] | None = None
    good_through: Day | None = None


class Expected(CasePart):
    """What must be true after a step.

    `awards` and `reversals` are by rule, `reasons` says why each named rule did what it did, `good_through` the last
    good day of the points just awarded (null where none is fixed), `billed` what each funder owes so far, in minor
    units. `capped` is what caps cut of each rule's award, by reason, complete once mentioned; `counted` what each named
    cap has counted in the window of the activity, or of the one that a return takes back. What a return refills is
    among its `awards`. `tier` is where the member stands; an `until` of null there says that no day is fixed.
    `vouchers` are all that the member's points became so far, the oldest first.
    `segments` are those that the member belongs to, complete once mentioned, with whether each is the primary one.
    `others` says what other members of the case have.
    """

    awards: dict[RuleId, Positive] | None = None
    reasons: dict[RuleId, str] | None = None
    reversals: dict[RuleId, Reversal] | None = None
    good_through: dict[RuleId, Day | None] | None = None
    balances: dict[UnitName, Balance] | None = None
    billed: dict[PartnerId, Amount] | None = None
    capped: dict[RuleId, dict[CapReason, Positive]] | None = None
    counted: dict[RuleId, Amount] | None = None
    tier: StandsAs | None = None
    vouchers: tuple[VoucherSeen, ...] | None = None
    segments: dict[RuleId, bool] | None = None
    others: dict[Id, dict[UnitName, Balance]] | None = None
    refused: str | None = None


class Using(CasePart):
    """A voucher pays for a basket: the member's first, second and so on, in the order in which they were made."""

    voucher: Positive
    basket: Positive
    at: Instant


class Spending(CasePart):
    """Points held and captured in one go, by the member of the case unless another is named."""

    member: Id | None = None
    unit: UnitName
    amount: Positive
    at: Instant


class Giving(CasePart):
    """Points that a member gives to another."""

    from_: Annotated[Id, Field(alias="from")] = "m-1"
    to: Id
    unit: UnitName
    amount: Positive
    at: Instant


class HouseholdSet(CasePart):
    """Who shares a wallet from then on; whoever is named no more is alone."""

    members: Annotated[tuple[Id, ...], Field(min_length=1)]
    pooling: bool = True
    at: Instant


class Merging(CasePart):
    """An account that becomes a part of another."""

    member: Id
    into: Id = "m-1"
    at: Instant


class Unmerging(CasePart):
    """One that is a part no more."""

    member: Id
    at: Instant


class Matching(CasePart):
    """A rival's tier is to be matched, on a proof of a day."""

    tier: str
    dated: Day
    issuer: str = "rival"
    at: Instant


class Step(CasePart):
    """Exactly one deed, such as an activity, a spending or a wait, and what is expected after it.

    An activity is reported when it happens, or later: at `reported_at`. What is credited to another who paid is not
    among the awards of the member.
    """

    activity: dict[str, Any] | None = None
    reported_at: Instant | None = None
    spend: Spending | None = None
    use: Using | None = None
    match: Matching | None = None
    transfer: Giving | None = None
    household: HouseholdSet | None = None
    merge: Merging | None = None
    unmerge: Unmerging | None = None
    wait_until: Instant | None = None
    expect: Expected


DEEDS: Final = ("activity", "spend", "use", "match", "transfer", "household", "merge", "unmerge", "wait_until")
"""What a step may be."""


def _one_deed(step: Step) -> Step:
    if sum(getattr(step, deed) is not None for deed in DEEDS) != 1:
        raise PydanticCustomError("one_of", f"A step has exactly one of {', '.join(DEEDS[:-1])} and {DEEDS[-1]}")
    if step.reported_at is not None and step.activity is None:
        raise PydanticCustomError("not_allowed", "Only an activity is reported")
    return step


class Member(CasePart):
    """The member of a case. Without `enrolled_at` it is enrolled at its first step."""

    attributes: Attributes = {}
    enrolled_at: Instant | None = None


class Case(CasePart):
    """One worked example. `changes` are made to a copy of the program first: values by JSON Pointer, null removes.

    `friends` are others whom the member of the case, `m-1`, has referred, `members` are more of the program's. An
    activity or a spending may be theirs: then it says `member`.
    """

    case: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]
    says: Annotated[str, Field(min_length=1)]
    member: Member = Member()
    friends: tuple[Id, ...] = ()
    members: dict[Id, Member] = {}
    changes: dict[str, Any] = {}
    steps: Annotated[tuple[Annotated[Step, AfterValidator(_one_deed)], ...], Field(min_length=1)]


def _known_members(case: Case) -> Case:
    """Refuse a name that is nobody's in the case."""
    known = {"m-1", *case.friends, *case.members}
    for step in case.steps:
        said = [(step.activity or {}).get("member"), *(step.expect.others or {})]
        said += [step.spend.member] if step.spend is not None else []
        said += [step.transfer.from_, step.transfer.to] if step.transfer is not None else []
        said += step.household.members if step.household is not None else ()
        said += [step.merge.member, step.merge.into] if step.merge is not None else []
        said += [step.unmerge.member] if step.unmerge is not None else []
        for name in said:
            if name is not None and name not in known:
                raise PydanticCustomError("unknown_reference", f"There is no member {name} in the case")
    return case


class CasesFile(CasePart):
    """All examples of a program. `clock` says that they run in a sandbox, each on a throwaway copy of the program."""

    program: ProgramId
    clock: Literal["manual"] = "manual"
    cases: Annotated[tuple[Annotated[Case, AfterValidator(_known_members)], ...], Field(min_length=1)]


def load_cases(text: str) -> CasesFile:
    """Return the cases that a YAML text describes; raises ProgramFaults with everything that is wrong."""
    data = read_yaml(text)
    if not isinstance(data, dict):
        raise ProgramFaults([Fault("", "wrong_type", "A cases file is a mapping of keys to values")])
    try:
        file = CasesFile.model_validate_json(msgspec.json.encode(data))
    except ValidationError as error:
        raise ProgramFaults(faults_of(error, data)) from None
    names = [case.case for case in file.cases]
    repeated = [place for place, name in enumerate(names) if name in names[:place]]
    if repeated:
        raise ProgramFaults(
            [Fault(f"/cases/{place}/case", "repeated", "There is a case of this name already") for place in repeated]
        )
    return file


def changed(document: ProgramDocument, changes: Mapping[str, Any]) -> ProgramDocument:
    """Return a copy of a program with values put at JSON Pointers; null removes what is there."""
    plain: Any = dump_program(document)
    for pointer, value in changes.items():
        *path, last = pointer.removeprefix("/").split("/")
        here = plain
        for step in path:
            here = here[int(step)] if isinstance(here, list) else here[step]
        key: Any = int(last) if isinstance(here, list) else last
        if value is None:
            del here[key]
        else:
            here[key] = value
    return load_program(plain)


def cases_path(program_file: Path) -> Path:
    """Return where the cases of a program file lie: beside it."""
    return program_file.with_suffix("").with_suffix(".cases.yaml")


def instant_of(step: Step) -> datetime:
    """Return when a step happens; an activity that is reported later happens here when it is reported."""
    if step.reported_at is not None:
        return step.reported_at
    if step.activity is not None:
        return datetime.fromisoformat(step.activity["occurred_at"])
    for deed in (step.spend, step.use, step.match, step.transfer, step.household, step.merge, step.unmerge):
        if deed is not None:
            return deed.at
    assert step.wait_until is not None
    return step.wait_until
