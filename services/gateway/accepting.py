"""An activity at the door: read, checked, and made ready to be asked of points."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from laurel.contracts.activity import Activity, check, content_hash, problem_of
from laurel.contracts.reading import read
from laurel.errors import PROBLEMS, Fault, Problem, named_at
from services.gateway.saying import activity_json

if TYPE_CHECKING:
    from services.gateway.guarding import Caller
    from services.gateway.store.programs import ProgramHead

AHEAD_MAX: Final = timedelta(minutes=5)
_EMPTY: Final = msgspec.Raw(b"[]")


@dataclass(frozen=True, slots=True)
class Reported:
    """An activity that is right by itself. `member` is an id, an identifier, or not said."""

    activity: Any
    partner: str
    hash: str

    @property
    def id(self) -> str:
        return str(self.activity.id)

    @property
    def occurred_at(self) -> datetime:
        at: datetime = self.activity.occurred_at
        return at

    @property
    def member_id(self) -> str | None:
        member = self.activity.member
        return member if isinstance(member, str) else None

    @property
    def identifier(self) -> tuple[str, str] | None:
        member = self.activity.member
        return None if member is None or isinstance(member, str) else (member.scheme, member.value)

    @property
    def of(self) -> str | None:
        """The activity that a return takes back; it tells whose the return is, if nothing else does."""
        return self.activity.of if self.activity.member is None and self.activity.type == "return" else None

    def json(self, member: str | None) -> bytes:
        return activity_json(self.activity, member)


def read_activity(body: bytes, caller: Caller, head: ProgramHead, now: datetime) -> Reported:
    """Read and check an activity; the problem names every fault with its pointer."""
    activity: Any = read(Activity, body)
    faults = check(activity)
    if activity.member is None and activity.type not in {"purchase", "return"}:
        faults.append(Fault("/member", "missing", "Only a purchase may lack its member"))
    if faults:
        raise problem_of(faults)
    check_time(activity.occurred_at, "/occurred_at", head, now)
    return Reported(activity, partner_of(activity.partner, caller), content_hash(activity))


def check_time(at: datetime, pointer: str, head: ProgramHead, now: datetime) -> None:
    """On a wall clock nothing may lie ahead, but for clocks that disagree a little."""
    if not head.is_manual and at > now + AHEAD_MAX:
        fault = Fault(pointer, "in_the_future", "This lies more than 5 minutes ahead")
        raise Problem("in_the_future", errors=[fault])


def partner_of(named: str | None, caller: Caller, *, at: str = "/partner") -> str:
    """A body's partner is the key's own by default; only `admin` may name another. `at` is where the body says it."""
    if named is None or named == caller.partner:
        return caller.partner
    if not caller.is_admin:
        with named_at(at):
            raise Problem("partner_unknown")
    return named


class _Unearned(msgspec.Struct):
    id: str
    state: str = "posted"
    awards: msgspec.Raw = _EMPTY
    balances: msgspec.Raw = _EMPTY
    decision: msgspec.Raw = _EMPTY


def unearned(activity_id: str) -> bytes:
    """The outcome of an activity without a member: it is kept, and earns nothing."""
    return msgspec.json.encode(_Unearned(activity_id))


def blocked(activity_id: str) -> bytes:
    """The outcome of an activity whose card is blocked: it is refused, and kept as such."""
    kind = PROBLEMS["identifier_blocked"]
    return msgspec.json.encode({"id": activity_id, "state": "refused", "code": kind.code, "detail": kind.title})
