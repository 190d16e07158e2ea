"""What many members share, and what is drawn from it: blocks, budgets of rules, things that may be credited once,
and how often the members of a person earned.

It is loaded and locked like wallets, after them, and moves by facts like them. Of budgets and keys nothing is ever
given back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from laurel.program import CompiledProgram
from services.points.domain.facts import AnyFact, BlockDrawn, BudgetDrawn, FundingAwaited, KeyTaken, PersonCounted


class KeyName(NamedTuple):
    """Names a thing that may be credited once, such as a coupon of a ticket, among the programs of a group."""

    group: str
    key: str


class BudgetName(NamedTuple):
    """Names what a rule may grant to all members of a program together."""

    program: str
    rule: str


class PersonName(NamedTuple):
    """Names what is counted of all members of a person in a window."""

    program: str
    person: str
    counter: str
    start: datetime


class BlockName(NamedTuple):
    """Names what a partner has paid for in advance, of a unit of a program."""

    program: str
    partner: str
    unit: str


@dataclass(slots=True)
class Block:
    """How many points were paid for, how many are used, and the last number given out in its queue."""

    units: int = 0
    used: int = 0
    queued: int = 0

    @property
    def left(self) -> int:
        """Return what may still be drawn."""
        return self.units - self.used


@dataclass(frozen=True, slots=True)
class Credit:
    """Where a thing was credited."""

    program: str
    member: str
    journal: int


@dataclass(slots=True)
class Shared:
    """What is shared, as far as the messages in hand can touch it."""

    keys: dict[KeyName, Credit] = field(default_factory=dict)
    budgets: dict[BudgetName, int] = field(default_factory=dict)
    """What was drawn of each budget so far."""
    people: dict[PersonName, int] = field(default_factory=dict)
    """How often all members of a person have earned in a window."""
    blocks: dict[BlockName, Block] = field(default_factory=dict)

    def apply(self, program: str, member: str, journal: int, fact: AnyFact) -> None:
        """Move by one fact of a member's journal."""
        if isinstance(fact, KeyTaken):
            self.keys[KeyName(fact.group, fact.key)] = Credit(program, member, journal)
        elif isinstance(fact, BudgetDrawn):
            name = BudgetName(program, fact.rule)
            self.budgets[name] = self.budgets.get(name, 0) + fact.amount
        elif isinstance(fact, PersonCounted):
            person = PersonName(program, fact.person, fact.counter, fact.start)
            self.people[person] = self.people.get(person, 0) + fact.amount
        elif isinstance(fact, BlockDrawn):
            self.block(program, fact.funder, fact.unit).used += fact.amount
        elif isinstance(fact, FundingAwaited):
            self.block(program, fact.funder, fact.unit).queued = fact.number

    def block(self, program: str, partner: str, unit: str) -> Block:
        """Return a partner's block; one that was never paid for is empty. It must have been loaded."""
        return self.blocks.setdefault(BlockName(program, partner, unit), Block())

    def drawn(self, program: str, rule: str) -> int:
        """Return what was drawn of a rule's budget so far; it must have been loaded."""
        return self.budgets.get(BudgetName(program, rule), 0)


def key_name(program: CompiledProgram, key: str) -> KeyName:
    """Return the name of a key in the program's group; a program without one is a group of its own."""
    return KeyName(program.exclusive_group or f":{program.program}", key)
