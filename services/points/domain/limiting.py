"""How often the members of one person may earn by a rule together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from laurel.program import CompiledProgram
from services.points.domain.facts import Counted, PersonCounted
from services.points.domain.shared import PersonName, Shared
from services.points.domain.state import Posting, Wallet


def counted_of(wallet: Wallet, shared: Shared, counter: str, start: datetime, *, by_person: bool) -> int:
    """Return how often a limit was used: by the member, or by all members of its person."""
    if not by_person or wallet.person is None:
        return wallet.counted(counter, start)
    return shared.people.get(PersonName(wallet.program, wallet.person, counter, start), 0)


def people_counted(program: CompiledProgram, wallet: Wallet, counted: Iterable[Counted]) -> list[PersonCounted]:
    """Return what an activity counts of the member's person."""
    person = wallet.person
    if person is None or not program.limited_by_person:
        return []
    counters = {limit.counter for limit in program.limited_by_person}
    return [
        PersonCounted(person=person, counter=each.counter, start=each.start, amount=each.amount)
        for each in counted
        if each.counter in counters and each.amount
    ]


def people_back(posting: Posting, counted: Sequence[Counted]) -> list[PersonCounted]:
    """Return what a return gives back to the person that its activity was counted of, who may be another by now."""
    moved = {(each.counter, each.start): each.amount for each in counted}
    return [
        PersonCounted(person=each.person, counter=each.counter, start=each.start, amount=amount)
        for each in posting.people
        if (amount := moved.get((each.counter, each.start), 0)) < 0
    ]
