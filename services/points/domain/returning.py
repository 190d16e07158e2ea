"""A return takes back what the activity earned, line by line (S10), from its own lots first; the rest is owed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import msgspec

from laurel.contracts.activity import ReportedActivity
from laurel.errors import Refused
from laurel.program import CompiledProgram, Returned, RuleOutcome, basis_less_returns, plus_return
from laurel.program.bases import total_of
from laurel.program.returning import is_all, returned_total
from laurel.rounding import scaled
from services.points.domain.asked import Report, decode_activity
from services.points.domain.facts import (
    ActivityRefused,
    ActivityReturned,
    AnyFact,
    LotName,
    LotPart,
    PartThere,
    PointsClawedBack,
    RuleJudged,
    TenderBack,
)
from services.points.domain.granting import pay
from services.points.domain.limiting import people_back
from services.points.domain.moment import Moment
from services.points.domain.paying import may_take_back
from services.points.domain.refilling import Counting, Refilling, give_limits_back, lower, unrefuse
from services.points.domain.state import CounterKey, Lot, Posting, Wallet
from services.points.domain.thresholds import Lost, bonuses_lost
from services.points.domain.tiering import ANY_VERSION, counts_back, stands


def take_back(
    wallet: Wallet,
    asked: Report,
    activity: ReportedActivity,
    moment: Moment,
    *,
    rules: frozenset[str] | None = None,
) -> tuple[AnyFact, ...]:
    """Judge what is left of the original by the version that judged it; claw back what it would not have earned.

    With `rules` nothing comes back: it is what these rules gave that is taken, whole.
    """
    found = read_return(wallet, asked, activity, nothing_comes_back=rules is not None)
    if isinstance(found, ActivityRefused):
        return (found,)
    posting, original, returned = found
    program = moment.programs.version(wallet.program, posting.version)
    if program is None:
        message = f"version {posting.version} of {wallet.program}, which judged {activity.of}, is not known"
        raise AssertionError(message)
    kept = [
        _kept(outcome, posting, rules or ()) for outcome in _judge(program, asked.partner, original, posting, returned)
    ]
    back = _due_back(posting, kept)
    theirs = {rule.id for rule in program.rules if rule.to is not None}
    points = [judged for judged in back if not program.units[judged.unit].counts_only and judged.rule not in theirs]
    used: dict[LotName, int] = {}
    clawbacks = _claw_back(wallet, (asked.partner, activity.of or ""), points, used)
    counting = Counting(wallet)
    unrefused = unrefuse(program, wallet, posting, kept)
    refilling = Refilling(wallet, moment, counting, clawbacks, unrefused, asked.versions.partners)
    if posting.counted:
        freed = lower(program, posting, back, counting)
        if program.limited:
            before = _judge(program, asked.partner, original, posting, posting.returned)
            gone = {
                rule.id for rule in program.limited if before[rule.index].computed and not kept[rule.index].computed
            }
            # What was given up while it waited has been given back with it.
            give_limits_back(program, posting, gone - posting.given_up, counting)
        # What is refilled would not know what the account has counted of which this one is a part.
        for counted, amount in freed if wallet.merged_into is None else ():
            refilling.refill(CounterKey(counted.counter, counted.start), amount)
    lost = _bonuses_lost(wallet, counting, refilling, moment, used)
    clawbacks += [each for one in lost for each in one.clawbacks]
    return (
        ActivityReturned(
            activity=activity.id,
            partner=asked.partner,
            of=activity.of or "",
            of_journal=posting.journal,
            version=posting.version,
            occurred_at=activity.occurred_at,
            returned=returned,
            decision=tuple(back),
            counted=counting.moved(),
            unrefused=unrefused,
            stands=stands(wallet, program),
            tenders=tuple(each for each in tender_positions(found, activity) if each.after > each.before),
        ),
        *people_back(posting, counting.moved()),
        *clawbacks,
        *(one.fact for one in lost),
        *refilling.drawn,
        *refilling.grants,
        *pay(_owed(wallet, clawbacks), refilling.grants, moment.journal),
        *counts_back(wallet, program, posting, back, moment, asked.versions.program),
    )


def _kept(outcome: RuleOutcome, posting: Posting, rules: Collection[str]) -> RuleOutcome:
    """Return what a rule gives for what is kept: a bonus for a threshold stays as long as that is reached."""
    if outcome.rule.id in rules:
        return msgspec.structs.replace(outcome, computed=0)
    if outcome.rule.threshold is not None:
        return msgspec.structs.replace(outcome, computed=posting.granted(outcome.rule.id))
    return outcome


def _bonuses_lost(
    wallet: Wallet, counting: Counting, refilling: Refilling, moment: Moment, used: dict[LotName, int]
) -> list[Lost]:
    """Take back the bonuses whose thresholds are not reached any more; what that makes room for is granted as well."""
    lost = bonuses_lost(wallet, moment.programs, counting, lambda of, back: _claw_back(wallet, of, [back], used))
    for one in lost:
        refilling.take(one.clawbacks)
        freed = lower(one.program, one.posting, [one.back], counting)
        for counted, amount in freed if wallet.merged_into is None else ():
            refilling.refill(CounterKey(counted.counter, counted.start), amount)
    return lost


def give_back_share(
    wallet: Wallet, of: str, returned: ActivityReturned, journal: int, moment: Moment
) -> tuple[AnyFact, ...]:
    """Take back from another what the return of an activity, the member `of`'s, leaves it no reason to keep.

    `journal` is the one of its share. Nothing is returned where nothing of the share is due back.
    """
    posting = wallet.postings.get((returned.partner, returned.of))
    if posting is None or posting.journal != journal:
        return ()
    back = [left for judged in returned.decision if (left := _left_of(posting, judged)).amount > 0]
    program = moment.programs.version(wallet.program, posting.version)
    if not back or program is None:
        return ()
    points = [judged for judged in back if not program.units[judged.unit].counts_only]
    return (
        ActivityReturned(
            activity=returned.activity,
            partner=returned.partner,
            of=returned.of,
            of_journal=journal,
            version=posting.version,
            occurred_at=returned.occurred_at,
            returned=returned.returned,
            decision=tuple(back),
            stands=stands(wallet, program),
            share_of=of,
        ),
        *_claw_back(wallet, (returned.partner, returned.of), points, {}),
        *counts_back(wallet, program, posting, back, moment, ANY_VERSION),
    )


def _left_of(share: Posting, back: RuleJudged) -> RuleJudged:
    """Return what of it a share still has to give back: what ended while it waited was given up without the member."""
    left = share.granted(back.rule) - share.clawed_back.get(back.rule, 0)
    return back if back.amount <= left else msgspec.structs.replace(back, amount=left)


class Returning(NamedTuple):
    """What a return takes back: the original as it was posted and reported, and all that is returned of it by then."""

    posting: Posting
    original: ReportedActivity
    returned: Returned


def read_return(
    wallet: Wallet, asked: Report, activity: ReportedActivity, *, nothing_comes_back: bool = False
) -> Returning | ActivityRefused:
    """Find what is returned, or say why it cannot be."""
    posting = wallet.postings.get((asked.partner, activity.of or ""))
    original = decode_activity(posting.body) if posting is not None else None
    if posting is None or original is None or not _is_theirs(original, activity, wallet):
        return _refusal(asked, activity, "activity_unknown", f"No activity {activity.of} was posted here")
    if nothing_comes_back:
        return Returning(posting, original, posting.returned)
    try:
        return Returning(posting, original, plus_return(original, posting.returned, activity))
    except Refused as refusal:
        return _refusal(asked, activity, refusal.code, refusal.detail)


def tender_positions(found: Returning, activity: ReportedActivity) -> tuple[TenderBack, ...]:
    """Say up to where each tender that names something comes back, pro rata; nothing where the return says so."""
    original, before, after = found.original, found.posting.returned, found.returned
    total = total_of(original) or 0
    if activity.tenders == [] or not original.tenders or not total or after == before:
        return ()
    was, now = returned_total(original, before), returned_total(original, after)
    if is_all(original, after):
        now = total
    return tuple(
        TenderBack(
            kind=tender.kind,
            ref=tender.ref,
            amount=tender.amount,
            before=scaled(tender.amount, was, total, "half_up"),
            after=scaled(tender.amount, now, total, "half_up"),
        )
        for tender in original.tenders
        if tender.ref
    )


def _judge(
    program: CompiledProgram, partner: str, original: ReportedActivity, posting: Posting, returned: Returned
) -> Sequence[RuleOutcome]:
    """Return what each rule would make of what is left of the original."""
    return program.evaluate(basis_less_returns(original, returned, partner=partner), posting.seen, stacked=False)


def _is_theirs(original: ReportedActivity, activity: ReportedActivity, wallet: Wallet) -> bool:
    answering = {wallet.merged_into, wallet.survivor} - {None}
    return may_take_back(original, activity, wallet.member) or activity.member in answering


def _refusal(asked: Report, activity: ReportedActivity, code: str, detail: str) -> ActivityRefused:
    return ActivityRefused(activity=activity.id, partner=asked.partner, code=code, detail=detail)


def _due_back(posting: Posting, kept: Iterable[RuleOutcome]) -> list[RuleJudged]:
    """Return per component what this return takes back.

    keep = min(granted, award for what is kept, before caps); what earlier returns took is not taken again.
    """
    keeps = {outcome.rule.id: outcome.computed for outcome in kept}
    out = []
    for judged in posting.decision:
        granted = judged.amount + posting.refilled.get(judged.rule, 0)
        keep = min(granted, keeps.get(judged.rule, 0))
        amount = granted - keep - posting.clawed_back.get(judged.rule, 0)
        if amount > 0:
            out.append(
                RuleJudged(
                    rule=judged.rule, fired=True, reason="returned", computed=keep, amount=amount, unit=judged.unit
                )
            )
    return out


def _claw_back(
    wallet: Wallet, of: tuple[str, str], back: Iterable[RuleJudged], used: dict[LotName, int]
) -> list[PointsClawedBack]:
    """Lay what goes back over lots: the component's own, then others in spending order; the rest is owed.

    What of the own lots has expired is not asked for, also where they had gone on to another account. What is left of
    them there is owed here, and paid from them first when that is passed on. Points in an open hold are not touched
    (S11). `used` is what is taken of each lot already.
    """
    out = []
    for judged in back:
        own = _own(wallet, of, judged.rule)
        waiting, missing = _take_pending(own, judged.amount)
        taken, missing = _take(own, missing, used)
        gone_on = [each for each in wallet.gone_on if _is_of(each[1], of, judged.rule)]
        # What is left of them is owed here, and paid from them there.
        left = min(sum(lot.free for _, lot in gone_on), missing)
        excused, elsewhere = _excuse(own, missing - left, gone_on)
        expired = sum(part.amount for part in (*excused, *(gone.part for gone in elsewhere)))
        others = [lot for lot in wallet.spendable(judged.unit) if lot not in own]
        more, owed = _take(others, missing - left - expired, used)
        out.append(
            PointsClawedBack(
                unit=judged.unit,
                rule=judged.rule,
                funder=own[0].funder,
                amount=judged.amount,
                taken=(*taken, *more),
                expired=expired,
                owed=owed + left,
                origin=own[0].name,
                excused=tuple(excused) if len(own) > 1 else (),
                pending=waiting,
                elsewhere=elsewhere,
            )
        )
    return out


def _own(wallet: Wallet, of: tuple[str, str], rule: str) -> list[Lot]:
    """Return the lots of one component: that of the activity, then those that refills made, in order of posting."""
    return sorted((lot for lot in wallet.lots.values() if _is_of(lot, of, rule)), key=lambda lot: lot.name)


def _is_of(lot: Lot, of: tuple[str, str], rule: str) -> bool:
    return lot.rule == rule and (lot.partner, lot.activity) == of


def _take_pending(own: Iterable[Lot], missing: int) -> tuple[tuple[LotPart, ...], int]:
    """Take first what does not count yet: nobody could have spent it."""
    parts = []
    for lot in own:
        part = min(lot.pending, missing)
        if part > 0:
            parts.append(LotPart(lot.name, part))
            missing -= part
    return tuple(parts), missing


def _excuse(
    own: Iterable[Lot], missing: int, gone_on: Iterable[tuple[str, Lot]]
) -> tuple[list[LotPart], tuple[PartThere, ...]]:
    """Say of which lots the part is that had expired: the own ones, and those that accounts after this one had of them.

    It is noted where it expired, so that it neither comes back there nor is excused again.
    """
    here: list[LotPart] = []
    there: list[PartThere] = []
    for lot in own:
        if (part := min(lot.expired, missing)) > 0:
            here.append(LotPart(lot.name, part))
            missing -= part
    for member, lot in gone_on:
        if (part := min(lot.expired, missing)) > 0:
            there.append(PartThere(member, LotPart(lot.name, part)))
            missing -= part
    return here, tuple(there)


def _owed(wallet: Wallet, clawbacks: Iterable[PointsClawedBack]) -> dict[str, int]:
    """Return what the member owes of each unit once this is taken back."""
    owed = {unit: balance.owed for unit, balance in wallet.balances.items()}
    for back in clawbacks:
        owed[back.unit] = owed.get(back.unit, 0) + back.owed
    return owed


def _take(lots: Iterable[Lot], amount: int, used: dict[LotName, int]) -> tuple[list[LotPart], int]:
    """Cover an amount from lots of which `used` is already spoken for, and speak for what is taken."""
    parts: list[LotPart] = []
    missing = amount
    for lot in lots:
        part = min(lot.free - used.get(lot.name, 0), missing)
        if part > 0:
            parts.append(LotPart(lot.name, part))
            used[lot.name] = used.get(lot.name, 0) + part
            missing -= part
    return parts, missing
