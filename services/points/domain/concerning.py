"""One activity, several wallets: what others get for it, such as who referred the member, and what they give back.

Each of them has a journal of its own, which names the activity; the member's journal names those of the others, so that
a return finds them all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from laurel.contracts.activity import Activity, ReportedActivity
from laurel.program import CompiledProgram
from laurel.program.climbing import Counted, count
from laurel.values import AMOUNT_MAX
from services.points.domain.facts import ActivityPosted, AnyFact, ReferrerNamed, RuleJudged, Share
from services.points.domain.funding import fund
from services.points.domain.granting import fits, pay, points_of
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet
from services.points.domain.tiering import ANY_VERSION, climber_of, stands, tiers_now

REFERRAL = "referral"
"""The type of activity that says who referred the member."""


class Related(Protocol):
    """A member as far as it is known whom it brings along."""

    @property
    def member(self) -> str: ...
    @property
    def referred_by(self) -> str | None: ...
    @property
    def attributes(self) -> Mapping[str, Any]: ...


def others_of(roles: Collection[str], activity: Activity, related: Related) -> dict[str, str]:
    """Return who an activity concerns besides the member, by role; nobody is another to oneself.

    Whoever referred the member first stays its referrer; an activity may name one for itself alone.
    """
    named = {
        "referrer": related.referred_by or activity.referrer,
        "payer": activity.payer.id if activity.payer is not None else None,
        "employer": related.attributes.get("employer"),
        "agent": activity.attributes.get("agent"),
    }
    return {
        role: other
        for role, other in named.items()
        if role in roles and isinstance(other, str) and other and other != related.member
    }


def takes_part(wallet: Wallet, other: Wallet) -> bool:
    """Say whether somebody may get a share: an active member, and not the same person under another number."""
    is_same = wallet.person is not None and wallet.person == other.person
    return other.status == "active" and not is_same


def name_referrer(wallet: Wallet, activity: ReportedActivity, others: Mapping[str, Wallet]) -> list[ReferrerNamed]:
    """Note who referred the member, if an activity says so and nobody is known yet."""
    referrer = others.get("referrer")
    if activity.type != REFERRAL or wallet.referred_by is not None or referrer is None:
        return []
    # It may be a part of another account by now, which gets what there is, and become one of its own again.
    return [ReferrerNamed(referrer=activity.referrer or referrer.member)]


def shares_of(
    program: CompiledProgram, decision: Sequence[RuleJudged], others: Mapping[str, Wallet]
) -> tuple[Share, ...]:
    """Return who gets a share, each with the journal that it will be in."""
    roles = {program.rules[place].to for place, judged in enumerate(decision) if judged.amount > 0} if others else set()
    found = {wallet.member: wallet for role, wallet in others.items() if role in roles}
    return tuple(Share(member, wallet.version + 1) for member, wallet in sorted(found.items()))


def have_room(program: CompiledProgram, decision: Sequence[RuleJudged], others: Mapping[str, Wallet]) -> bool:
    """Say whether the totals of all others are still amounts with what they get, and what all get together."""
    points = [judged.amount for place, judged in enumerate(decision) if not program.rules[place].counts_only]
    if sum(points) > AMOUNT_MAX:
        return False
    more: dict[str, dict[str, int]] = {}
    for place, judged in enumerate(decision):
        rule = program.rules[place]
        if rule.to is not None and rule.to in others and not rule.counts_only:
            member = more.setdefault(others[rule.to].member, {})
            member[judged.unit] = member.get(judged.unit, 0) + judged.amount
    return all(fits(wallet, more.get(wallet.member, {})) for wallet in others.values())


def give_share(
    wallet: Wallet, of: str, posted: ActivityPosted, roles: Collection[str], newest: int, moment: Moment
) -> tuple[AnyFact, ...]:
    """Give another what the rules made of an activity for its roles."""
    program = moment.programs.version(wallet.program, posted.version)
    assert program is not None  # it has just judged
    theirs = {rule.id: rule for rule in program.rules if rule.to in roles}
    mine = [(theirs[judged.rule], judged) for judged in posted.decision if judged.rule in theirs and judged.amount > 0]
    granted = points_of(
        program,
        [(rule, judged.amount) for rule, judged in mine],
        activity=posted.activity,
        partner=posted.partner,
        occurred_at=posted.occurred_at,
    )
    grants, funded = fund(wallet, granted, posted.activity, posted.partner, newest, moment)
    share = ActivityPosted(
        activity=posted.activity,
        partner=posted.partner,
        type=posted.type,
        occurred_at=posted.occurred_at,
        version=posted.version,
        decision=tuple(judged for _, judged in mine),
        stands=stands(wallet, program),
        share_of=of,
    )
    counted = [Counted(rule.id, rule.unit, judged.amount) for rule, judged in mine if rule.counts_only]
    qualified: Sequence[AnyFact] = ()
    if counted and program.tiers is not None:
        climber = climber_of(wallet, program.tiers, moment.journal)
        now = tiers_now(wallet, moment, ANY_VERSION, posted.occurred_at)
        qualified = count(climber, counted, posted.activity, posted.partner, posted.occurred_at, moment.at, now=now)
    owed = {unit: balance.owed for unit, balance in wallet.balances.items() if balance.owed}
    return (share, *funded, *grants, *pay(owed, grants, moment.journal), *qualified)
