"""The one way in which a wallet moves: `fold(wallet, journal number, fact)`.

Folding all facts of a member over an empty wallet gives every total again, which is what `verify` does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from laurel.program.belonging import SegmentsChanged
from laurel.program.standing import AnyTierFact, QualifyingCounted, TierBook
from services.points.domain import facts as f
from services.points.domain import folding_adjustments as adjustments
from services.points.domain import folding_holds as holds
from services.points.domain import folding_lots as lots
from services.points.domain import pending_state as pending
from services.points.domain.facts import AnyFact
from services.points.domain.state import ELSEWHERE, CounterKey, Posting, Refusal, Wallet


def fold(wallet: Wallet, journal: int, fact: AnyFact) -> None:
    """Move a wallet by one fact. Facts are trusted: one that cannot be applied is a defect, not a refusal."""
    _FOLD[type(fact)](wallet, journal, fact)


def _enrolled(wallet: Wallet, _journal: int, fact: f.MemberEnrolled) -> None:
    wallet.status = "active"
    wallet.enrolled_at = fact.enrolled_at
    wallet.person = fact.person
    wallet.attributes = dict(fact.attributes)
    wallet.referred_by = fact.referred_by


def _awaits_birthday(wallet: Wallet, _journal: int, fact: f.BirthdayAwaited) -> None:
    wallet.birthday_at = fact.at


def _referred(wallet: Wallet, _journal: int, fact: f.ReferrerNamed) -> None:
    wallet.referred_by = fact.referrer


def _member_changed(wallet: Wallet, _journal: int, fact: f.MemberChanged) -> None:
    wallet.person, wallet.attributes = fact.person, dict(fact.attributes)


def _member_closed(wallet: Wallet, _journal: int, _fact: f.MemberClosed) -> None:
    wallet.status = "closed"


def _member_erased(wallet: Wallet, _journal: int, _fact: f.MemberErased) -> None:
    wallet.status = "erased"
    wallet.person, wallet.attributes, wallet.referred_by = None, {}, None
    # Nothing comes to nobody.
    wallet.birthday_at = wallet.converts_at = None


def _posted(wallet: Wallet, journal: int, fact: f.ActivityPosted) -> None:
    _happened(wallet, fact.occurred_at)
    for unit, until in fact.active_until.items():
        balance = wallet.moving(unit)
        if balance.active_until is None or until > balance.active_until:
            balance.active_until = until
    wallet.postings[fact.partner, fact.activity] = Posting.of(journal, fact)
    wallet.count(fact.counted)
    for moved in fact.counted:
        if moved.given:
            wallet.counters[CounterKey(moved.counter, moved.start)].given_in = journal
    if fact.counted:
        for judged in fact.decision:
            for cut in judged.capped_by:
                if cut.refill and cut.start is not None:
                    wallet.refusals[journal, judged.rule] = Refusal(
                        journal,
                        judged.rule,
                        judged.unit,
                        CounterKey(cut.counter, cut.start),
                        fact.occurred_at,
                        cut.refill,
                    )


def _happened(wallet: Wallet, occurred_at: datetime) -> None:
    if wallet.occurred_at is None or occurred_at > wallet.occurred_at:
        wallet.occurred_at = occurred_at


def _returned(wallet: Wallet, _journal: int, fact: f.ActivityReturned) -> None:
    _happened(wallet, fact.occurred_at)
    posting = wallet.postings.get((fact.partner, fact.of))
    if posting is not None:
        posting.take(fact)
    _freed(wallet, fact)


def _pending_decided(wallet: Wallet, _journal: int, fact: f.PendingDecided) -> None:
    # What was decided moves the points by what follows.
    pending.note_theirs(wallet, fact)
    _freed(wallet, fact)


def _freed(wallet: Wallet, fact: f.ActivityReturned | f.PendingDecided) -> None:
    wallet.count(fact.counted)
    for less in fact.unrefused:
        wallet.refusals[less.journal, less.rule].left -= less.amount


def _refused(_wallet: Wallet, _journal: int, _fact: f.ActivityRefused | f.MemberChangeRefused) -> None:
    """Move nothing: a refusal is kept, that is all."""


def _key_taken(wallet: Wallet, journal: int, fact: f.KeyTaken) -> None:
    wallet.credited[fact.group, fact.key] = journal


def _drawn(wallet: Wallet, _journal: int, fact: f.BudgetDrawn) -> None:
    wallet.drawn[fact.rule] = wallet.drawn.get(fact.rule, 0) + fact.amount


def _person_counted(wallet: Wallet, journal: int, fact: f.PersonCounted) -> None:
    key = (fact.person, fact.counter, fact.start)
    wallet.people[key] = wallet.people.get(key, 0) + fact.amount
    for posting in wallet.postings.values():
        if posting.journal == journal:
            posting.take(fact)


def _merged(wallet: Wallet, journal: int, fact: f.MemberMerged) -> None:
    if wallet.merged_into != fact.parent:
        wallet.passed_on.clear()
    wallet.status, wallet.merged_into = "merged", fact.parent
    if wallet.merged_in is None:
        wallet.merged_in = journal


def _unmerged(wallet: Wallet, _journal: int, fact: f.MemberUnmerged) -> None:
    wallet.status, wallet.merged_into, wallet.merged_in = "active", None, None
    wallet.survivor, wallet.gone_on = None, []
    wallet.passed_on.clear()
    for part in fact.expired:
        wallet.lots[part.name].expired += part.amount


def _household_changed(wallet: Wallet, _journal: int, fact: f.HouseholdChanged) -> None:
    wallet.household = fact.now


def _absorbed(wallet: Wallet, _journal: int, fact: f.MemberAbsorbed | f.MemberParted) -> None:
    wallet.count(fact.counted)
    for part in fact.excused if isinstance(fact, f.MemberAbsorbed) else fact.expired:
        wallet.lots[part.name].expired -= part.amount
    for moved in fact.counted:
        counter = wallet.counters[CounterKey(moved.counter, moved.start)]
        if moved.given and counter.given_in <= 0:
            # What was given there is not given here again, and comes back there.
            counter.given_in = ELSEWHERE if type(fact) is f.MemberAbsorbed else 0


def _bonus_taken_back(wallet: Wallet, _journal: int, fact: f.BonusTakenBack) -> None:
    known = wallet.counters.get(CounterKey(fact.counter, fact.start))
    if known is not None:
        known.given_in = 0
    posting = wallet.postings.get((fact.partner, fact.activity))
    if posting is not None:
        posting.lose_bonus(fact)


def _qualified(wallet: Wallet, journal: int, fact: QualifyingCounted) -> None:
    posting = wallet.postings.get((fact.partner, fact.activity))
    if posting is not None:
        posting.take(fact)
    _tiers_moved(wallet, journal, fact)


def _tiers_moved(wallet: Wallet, journal: int, fact: AnyTierFact) -> None:
    if wallet.tiers is None:
        wallet.tiers = TierBook()
    wallet.tiers.apply(journal, fact)


def _segments_changed(wallet: Wallet, _journal: int, fact: SegmentsChanged) -> None:
    wallet.segments.apply(fact)


def _match_refused(
    _wallet: Wallet, _journal: int, _fact: f.StatusMatchRefused | f.TransferRefused | f.MergeRefused
) -> None:
    """Move nothing: a refusal is kept, that is all."""


_FOLD: dict[type, Callable[[Wallet, int, Any], None]] = {
    f.MemberEnrolled: _enrolled,
    f.MemberChanged: _member_changed,
    f.MemberClosed: _member_closed,
    f.MemberErased: _member_erased,
    f.MemberChangeRefused: _refused,
    f.ReferrerNamed: _referred,
    f.BirthdayAwaited: _awaits_birthday,
    f.ActivityPosted: _posted,
    f.ActivityReturned: _returned,
    f.ActivityRefused: _refused,
    f.BudgetDrawn: _drawn,
    f.KeyTaken: _key_taken,
    f.PersonCounted: _person_counted,
    f.HoldRefused: holds.hold_refused,
    f.PointsGranted: lots.granted,
    f.PendingReleased: pending.released,
    f.PendingGivenUp: pending.given_up,
    f.PendingDecided: _pending_decided,
    f.FundingAwaited: pending.awaited,
    f.FundingGiven: pending.funded,
    f.BlockDrawn: pending.drawn,
    f.DebtPaid: lots.debt_paid,
    f.PointsClawedBack: lots.clawed_back,
    f.BonusTakenBack: _bonus_taken_back,
    f.PointsHeld: holds.held,
    f.PointsCaptured: holds.captured,
    f.PointsReleased: holds.released,
    f.LotsExpired: lots.expired,
    f.PointsRevived: lots.revived,
    f.PointsRestored: holds.restored,
    f.LotRenewed: lots.renewed,
    f.PointsConverted: lots.converted,
    f.AdjustmentWaiting: adjustments.waiting,
    f.PointsAdjusted: adjustments.adjusted,
    f.LotAdjusted: lots.adjusted_lot,
    f.AdjustmentRefused: adjustments.adjustment_refused,
    f.AdjustmentRejected: adjustments.adjustment_rejected,
    f.PostingCorrected: adjustments.corrected,
    f.QualifyingCounted: _qualified,
    f.QualifyingReturned: _tiers_moved,
    f.TierChanged: _tiers_moved,
    f.TierKept: _tiers_moved,
    SegmentsChanged: _segments_changed,
    f.StatusMatchRefused: _match_refused,
    f.TransferRefused: _match_refused,
    f.MergeRefused: _match_refused,
    f.MemberMerged: _merged,
    f.MemberAbsorbed: _absorbed,
    f.MemberUnmerged: _unmerged,
    f.MemberParted: _absorbed,
    f.QualifyingJoined: _tiers_moved,
    f.HouseholdChanged: _household_changed,
    f.PointsSent: lots.sent,
    f.PointsReceived: lots.received,
    f.LotReceived: lots.received_lot,
}
