"""Whom messages concern: named before anything is locked where it is known, and looked at again under the locks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.points.decoding import Step
from services.points.domain.asked import (
    DecidePending,
    Enrol,
    EraseMember,
    Exchange,
    Merge,
    PlaceHold,
    PlaceTimedHold,
    Report,
    SetHousehold,
    Transfer,
)
from services.points.domain.concerning import others_of
from services.points.domain.facts import Household
from services.points.domain.paying import credited_to
from services.points.needing import Needing
from services.points.ports import ActivityKey, Loaded, Needs, ProgramBook, Relation, Store, WalletKey

SPENDING = (PlaceHold, PlaceTimedHold, Transfer, Exchange)
"""What is asked of a member's points, and of those of its household."""
NAMING_ACCOUNTS = (Merge, SetHousehold, EraseMember)
"""What means the very accounts that it names, whoever answers for them."""


class Following:
    """Loads what messages can touch, and begins again where they turn out to concern somebody else."""

    def __init__(self, programs: ProgramBook, needing: Needing) -> None:
        self._programs = programs
        self._needing = needing

    async def load(self, store: Store, steps: Sequence[Step], *, all_refusals: bool = False) -> Loaded:
        """Load what the messages can touch; begin again where what is returned turns out to lie in another wallet."""
        for step in steps:
            self._credit_payer(step)
        await self._name_pools(store, steps)
        await self._find_others(store, steps)
        loaded = await store.load(self._needed(steps, all_refusals=all_refusals))
        # Whom a return concerns is told by its original, and whom a member brings along may have moved meanwhile.
        while [
            step
            for step in steps
            if _follow_original(loaded, step)
            or _follow_merged(loaded, step)
            or _follow_household(loaded, step)
            or _follow_shares(loaded, step)
            or _follow_heirs(loaded, step)
            or self._moved_on(loaded, step)
        ]:
            loaded = await store.load(self._needed(steps, all_refusals=all_refusals))
        return loaded

    def _needed(self, steps: Sequence[Step], *, all_refusals: bool) -> Needs:
        return replace(self._needing.of(steps), all_refusals=all_refusals)

    def takes_back(self, step: Step) -> bool:
        """Say whether a message may take back what another activity earned: a return, or what ends something early."""
        activity = step.activity
        if activity is None or activity.of is None:
            return False
        if activity.type == "return":
            return True
        program = self._programs.in_force(step.key.program, activity.occurred_at, step.asked.versions.program)
        return program is not None and activity.type in program.closing

    def releases(self, step: Step) -> bool:
        """Say whether a message may release what another activity gave to others."""
        activity = step.activity
        if activity is None or activity.of is None or not self._programs.gives_to_others(step.key.program):
            return False
        program = self._programs.in_force(step.key.program, activity.occurred_at, step.asked.versions.program)
        return program is not None and activity.type in program.releasing_others

    def roles(self, step: Step) -> frozenset[str]:
        """Return whom the program of an activity may give points to besides the member."""
        activity = step.activity
        if activity is None or activity.type == "return" or not isinstance(step.asked, Report):
            return frozenset()
        if not self._programs.gives_to_others(step.key.program):
            return frozenset()
        program = self._programs.in_force(step.key.program, activity.occurred_at, step.asked.versions.program)
        return program.roles if program is not None else frozenset()

    def _credit_payer(self, step: Step) -> None:
        """Name the wallet of whoever paid, where that is who the activity is credited to."""
        asked, activity = step.asked, step.activity
        if activity is None or activity.payer is None or activity.type == "return" or not isinstance(asked, Report):
            return
        program = self._programs.in_force(step.key.program, activity.occurred_at, asked.versions.program)
        if program is not None:
            step.key = WalletKey(step.key.program, credited_to(program, activity, step.key.member))

    async def _name_pools(self, store: Store, steps: Sequence[Step]) -> None:
        """Name who pays together with those who spend, before anything is locked, so that all is locked in one order.

        It is looked at again under the locks.
        """
        spending = [step for step in steps if isinstance(step.asked, SPENDING)]
        if spending:
            households = await store.households({step.key for step in spending})
            for step in spending:
                step.pool = _pool_of(step.key, households.get(step.key))

    async def _find_others(self, store: Store, steps: Sequence[Step]) -> None:
        """Name the wallets of those whom activities may concern besides, also by what comes just before them."""
        if not any(self._programs.gives_to_others(program) for program in {step.key.program for step in steps}):
            return
        asking = [(step, roles) for step in steps if (roles := self.roles(step))]
        if not asking:
            return
        relations = await store.relations(sorted({step.key for step, _ in asking}))
        named: dict[WalletKey, set[str]] = {}
        for step in steps:
            told = step.asked.referred_by if isinstance(step.asked, Enrol) else None
            told = step.activity.referrer if step.activity is not None else told
            if told is not None:
                named.setdefault(step.key, set()).add(told)
        for step, roles in asking:
            assert step.activity is not None  # only activities have roles
            related = relations.get(step.key) or Relation(step.key.member, None, {})
            found = {*others_of(roles, step.activity, related).values(), *named.get(step.key, ())}
            step.concerned = {WalletKey(step.key.program, other) for other in found - {step.key.member}}

    def _moved_on(self, loaded: Loaded, step: Step) -> bool:
        """Name those who turn out to be concerned once the wallet is locked; say if there are any."""
        roles = self.roles(step)
        if not roles or step.activity is None:
            return False
        wallet = loaded.wallets[step.key]
        found = {WalletKey(wallet.program, other) for other in others_of(roles, step.activity, wallet).values()}
        # Who is a part of another account is concerned as that one.
        found |= {survivor for key in found | step.concerned if (survivor := _survivor(loaded, key)) is not None}
        more = found - step.concerned
        step.concerned |= found
        return bool(more)


def _follow_original(loaded: Loaded, step: Step) -> bool:
    """Name the wallet that an original was credited to, if a message about it names another one; say if so."""
    asked, activity = step.asked, step.activity
    if isinstance(asked, DecidePending):
        of: str | None = asked.activity
    else:
        of = activity.of if activity is not None and step.takes_back else None
    if of is None or not isinstance(asked, Report | DecidePending):
        return False
    known = loaded.known.get(ActivityKey(step.key.program, asked.partner, of))
    if known is None or known.code is not None or known.member == step.key.member:
        return False
    step.key = WalletKey(step.key.program, known.member)
    return True


def _follow_merged(loaded: Loaded, step: Step) -> bool:
    """Name the account that answers for one that became a part of it; say if it was not named yet.

    What is new is the other's from the start. What belongs to this one's past is decided here, and what that leaves
    goes on to the other.
    """
    if loaded.wallets[step.key].merged_into is None and not step.others and step.survivor is None:
        return False
    found = False
    others = [
        key if isinstance(step.asked, NAMING_ACCOUNTS) else (_survivor(loaded, key) or key) for key in step.others
    ]
    if others != list(step.others):
        step.others, found = tuple(others), True
    survivor = _survivor(loaded, step.key)
    if survivor is None or isinstance(step.asked, (*NAMING_ACCOUNTS, Enrol)) or step.others:
        return found
    if _is_new_activity(loaded, step):
        step.key = survivor
        return True
    if step.survivor is None:
        step.survivor = survivor
        return True
    further = _survivor(loaded, step.survivor)
    if further is not None:
        step.between.add(step.survivor)
        step.survivor = further
        return True
    return found


def _follow_household(loaded: Loaded, step: Step) -> bool:
    """Name the others who pay together with a member that spends; say if they were not named yet."""
    if not isinstance(step.asked, SPENDING):
        return False
    before, step.pool = step.pool, _pool_of(step.key, loaded.wallets[step.key].household)
    return not set(before).issuperset(step.pool)


def _follow_shares(loaded: Loaded, step: Step) -> bool:
    """Name the wallets in which others have a share of what a return takes back, or of what awaits a decision or this.

    Say if they were not named yet.
    """
    asked, activity = step.asked, step.activity
    if isinstance(asked, DecidePending):
        name = (asked.partner, asked.activity)
    elif activity is None or activity.of is None or not isinstance(asked, Report):
        return False
    elif activity.type == "return" or step.releases:
        name = (asked.partner, activity.of)
    else:
        return False
    posting = loaded.wallets[step.key].postings.get(name)
    if posting is None or not posting.shares:
        return False
    before, step.shares = step.shares, {(step.key.program, share.member, share.journal) for share in posting.shares}
    return step.shares != before


def _follow_heirs(loaded: Loaded, step: Step) -> bool:
    """Name the accounts that answer for those in which others have a share; say if they were not named yet."""
    before = dict(step.heirs)
    for program, member, _ in step.shares:
        key = WalletKey(program, member)
        heir = _survivor(loaded, step.heirs.get(key, key))
        if heir is not None:
            step.between |= {step.heirs[key]} if key in step.heirs else set()
            step.heirs[key] = heir
    return step.heirs != before


def _pool_of(key: WalletKey, household: Household | None) -> tuple[WalletKey, ...]:
    """Return the others of a household that pay together with a member."""
    if household is None or not household.pooling:
        return ()
    return tuple(WalletKey(key.program, member) for member in household.members if member != key.member)


def _survivor(loaded: Loaded, key: WalletKey) -> WalletKey | None:
    wallet = loaded.wallets.get(key)
    return None if wallet is None or wallet.merged_into is None else WalletKey(key.program, wallet.merged_into)


def _is_new_activity(loaded: Loaded, step: Step) -> bool:
    if step.activity is None or step.activity.type == "return" or not isinstance(step.asked, Report):
        return False
    if step.takes_back and step.activity.of is not None:
        # What ends something early belongs to what it ends, and that to this account's past.
        ended = loaded.known.get(ActivityKey(step.key.program, step.asked.partner, step.activity.of))
        if ended is not None and ended.code is None and ended.member == step.key.member:
            return False
    known = loaded.known.get(ActivityKey(step.key.program, step.asked.partner, step.activity.id))
    return known is None or known.member != step.key.member
