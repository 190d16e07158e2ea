"""Shipped fakes of the road's ports: a ledger and a book of programs that live in memory.

They let the whole road run without a database, in microseconds, for tests and for trying programs out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from laurel.partnerships import State
from laurel.program import CompiledProgram, ProgramDocument
from laurel.program.converting import CompiledConversion
from services.points.domain.facts import Household, LotName
from services.points.domain.joining import went_to
from services.points.domain.late import Late
from services.points.domain.partnering import Billing, Terms
from services.points.domain.posting import entries
from services.points.domain.reviving import ended_at
from services.points.domain.shared import Shared
from services.points.domain.state import Lot, Wallet
from services.points.domain.tiering import review_starts
from services.points.ports import (
    ActivityKey,
    Journal,
    Known,
    Loaded,
    Needs,
    Paid,
    Payment,
    Relation,
    Turn,
    WaitsOver,
    WalletKey,
)


@dataclass(frozen=True, slots=True)
class Note:
    """A message that came from nowhere: what the road reads, and no more."""

    type: str
    program: str
    member: str
    body: bytes
    id: str = "note"
    correlation: str = ""
    traceparent: str = ""


@dataclass(slots=True)
class MemoryLedger:
    """Wallets with all their lots, and every journal; each journal is checked to sum to zero when it is written."""

    wallets: dict[WalletKey, Wallet] = field(default_factory=dict)
    known: dict[ActivityKey, Known] = field(default_factory=dict)
    journals: list[Journal] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    over: list[WaitsOver] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    shared: Shared = field(default_factory=Shared)

    async def load(self, needs: Needs) -> Loaded:
        for key in sorted(needs.wallets):
            wallet = self.wallets.setdefault(key, Wallet(*key))
            if wallet.merged_in is not None:
                wallet.gone_on = self._gone_on(wallet)
            wallet.late = self._late(wallet) if key in needs.late else None
        return Loaded(self.wallets, self.known, self.shared)

    def _gone_on(self, wallet: Wallet) -> list[tuple[str, Lot]]:
        """Return what became of a wallet's lots where it passed them on, and where that was passed on."""
        found: dict[tuple[str, LotName], Lot] = {}
        ahead = [(wallet, set(wallet.lots))]
        while ahead:
            here, names = ahead.pop()
            passed_on = [
                place
                for journal in self.journals
                if journal.wallet is here and journal.kind == "merge" and journal.number >= (here.merged_in or 0)
                for place in went_to(journal.facts, names)
            ]
            for member, number in passed_on if here.merged_in is not None else ():
                if member not in self._on_the_way(wallet):
                    continue
                there = self.wallets[WalletKey(wallet.program, member)]
                lots = {name: lot for name, lot in there.lots.items() if name.journal == number}
                found |= {(member, name): lot for name, lot in lots.items()}
                ahead.append((there, set(lots)))
        return [(member, lot) for (member, _), lot in found.items() if (lot.partner, lot.activity) in wallet.postings]

    def _on_the_way(self, wallet: Wallet) -> set[str]:
        """Return the accounts of which one is a part."""
        found: set[str] = set()
        while wallet.merged_into is not None:
            found.add(wallet.merged_into)
            wallet = self.wallets[WalletKey(wallet.program, wallet.merged_into)]
        return found

    def _late(self, wallet: Wallet) -> Late:
        """Return all that ever ended, and all that ever kept points alive."""
        late = Late()
        for journal in self.journals:
            if journal.wallet is wallet:
                late.note(journal.facts, journal.at, ended_at(journal.kind, journal.at, journal.occurred_at))
        return late

    async def households(self, keys: Collection[WalletKey]) -> dict[WalletKey, Household]:
        found = {key: self.wallets[key].household for key in keys if key in self.wallets}
        return {key: household for key, household in found.items() if household is not None}

    async def write(self, journals: Sequence[Journal], touched: Iterable[Wallet]) -> None:
        for journal in journals:
            sums: dict[str, int] = {}
            for unit, _, amount in entries(journal.facts):
                sums[unit] = sums.get(unit, 0) + amount
            assert not any(sums.values()), f"journal {journal.number} does not balance: {sums}"
            if journal.kind == "activity" and journal.code is None and journal.body is not None:
                posting = journal.wallet.postings.get((journal.partner, journal.cause))
                if posting is not None:
                    posting.body = journal.body
            self.journals.append(journal)
        del touched

    async def begin_turns(self, turns: Sequence[Turn]) -> None:
        self.turns += turns

    async def go_on(self, over: Sequence[WaitsOver]) -> None:
        self.over += over

    async def relations(self, wallets: Sequence[WalletKey]) -> dict[WalletKey, Relation]:
        found = [self.wallets[key] for key in wallets if key in self.wallets]
        return {
            WalletKey(wallet.program, wallet.member): Relation(wallet.member, wallet.referred_by, wallet.attributes)
            for wallet in found
        }

    async def pay(self, payment: Payment, limit: int) -> Paid:
        block = self.shared.block(payment.program, payment.partner, payment.unit)
        if any(each[:3] == payment[:3] for each in self.payments):
            return Paid(block, "known")
        if block.units + payment.units > limit:
            return Paid(block, "beyond")
        self.payments.append(payment)
        block.units += payment.units
        return Paid(block, "new")

    async def facts_of(self, journals: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str, int], Journal]:
        found = {(j.wallet.program, j.wallet.member, j.number): j for j in self.journals}
        return {name: found[name] for name in journals}


class FixedPrograms:
    """A book that holds the programs it was given, each as version 1 and on."""

    def __init__(self, *documents: ProgramDocument) -> None:
        self._terms: dict[str, list[Terms]] = {}
        self._versions: dict[str, list[CompiledProgram]] = {}
        for document in documents:
            self.publish(document)

    def publish(self, document: ProgramDocument) -> None:
        """Add a version of a program."""
        versions = self._versions.setdefault(document.program, [])
        versions.append(CompiledProgram.from_document(document, len(versions) + 1))

    def say(
        self, program: str, partner: str, state: State, since: datetime | None = None, *, billing: Billing = "netting"
    ) -> None:
        """Say something of a partner, as the next version."""
        said = self._terms.setdefault(program, [])
        said.append(Terms(len(said) + 1, partner, state, since, billing))

    def funded(self, program: str) -> Collection[tuple[str, str]]:
        return {(rule.funder, rule.unit) for version in self._versions.get(program, ()) for rule in version.rules}

    def refills(self, program: str) -> bool:
        return any(version.refill_on_return for version in self._versions.get(program, ()))

    def gives_to_others(self, program: str) -> bool:
        return any(version.roles for version in self._versions.get(program, ()))

    def terms(self, program: str, partner: str, newest: int) -> Sequence[Terms]:
        del newest
        said = self._terms.get(program)
        return () if said is None else [each for each in said if each.partner == partner]

    def prepaying(self, program: str) -> Collection[str]:
        return {each.partner for each in self._terms.get(program, ()) if each.billing == "prepaid"}

    async def ensure(self, versions: Mapping[str, int]) -> None:
        for program, version in versions.items():
            if "/" not in program and version > len(self._versions.get(program, ())):
                raise TimeoutError(f"version {version} of {program} was never published")

    def knows(self, program: str, version: int) -> bool:
        return "/" in program or version <= len(self._versions.get(program, ()))

    def in_force(self, program: str, occurred_at: datetime, newest: int) -> CompiledProgram | None:
        versions = self._versions.get(program, [])[:newest]
        in_force = [version for version in versions if version.effective_from <= occurred_at]
        latest = max(in_force, key=lambda version: (version.effective_from, version.version), default=None)
        return latest or (versions[0] if versions else None)

    def version(self, program: str, version: int) -> CompiledProgram | None:
        versions = self._versions.get(program, [])
        return versions[version - 1] if 0 < version <= len(versions) else None

    def tiers_reach(self, program: str) -> int | None:
        reach = [version.tiers.days_back for version in self._versions.get(program, ()) if version.tiers is not None]
        return max(reach, default=None)

    def conversions(self, program: str) -> Sequence[CompiledConversion]:
        return [each for version in self._versions.get(program, ()) for each in version.conversions]

    def has_segments(self, program: str) -> bool:
        return any(version.segments is not None for version in self._versions.get(program, ()))

    def review_starts(self, program: str) -> list[datetime]:
        """Return when versions start by whose tiers members are to be looked at then."""
        return review_starts(self._versions.get(program, ()))

    def to_judge(self) -> list[str]:
        """Return the programs of which all members are judged now and then."""
        return [each for each in sorted(self._versions) if self.has_segments(each) or self.review_starts(each)]

    def units_of_segments(self, program: str) -> list[tuple[str, str]]:
        versions = self._versions.get(program, ())
        judged = [each.segments for each in versions if each.segments is not None]
        own = {(program, unit) for each in judged for unit in each.units}
        return sorted(own.union(*(each.units_of_others for each in judged)))

    def zone(self, program: str) -> ZoneInfo:
        return self._versions[program][-1].zone

    def runs_by_itself(self, program: str) -> bool:
        return program in self._versions and self._versions[program][-1].clock == "wall"


def note(type_: str, program: str, member: str, **fields: object) -> Note:
    """Write a message of a type, with `at` and the rest of its fields."""
    body = msgspec.json.encode({"program": program, "member": member, **fields})
    return Note(type_, program, member, body)
