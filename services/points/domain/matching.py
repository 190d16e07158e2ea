"""A rival's tier is matched at once, for a time and with a challenge; not kept, the member falls back (S15)."""

from __future__ import annotations

from laurel.errors import Refused
from laurel.program.climbing import match_tier
from services.points.domain.asked import MatchStatus
from services.points.domain.facts import AnyFact, StatusMatchRefused
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet
from services.points.domain.tiering import climber_of


def match(wallet: Wallet, asked: MatchStatus, moment: Moment) -> tuple[AnyFact, ...]:
    """Match the tier, or say why not; judged by the version in force now."""
    if not wallet.exists:
        return _refused(asked, "member_unknown", "The member is not enrolled")
    if wallet.status != "active":
        return _refused(asked, "member_not_active", f"The member is {wallet.status}")
    program = moment.programs.in_force(wallet.program, moment.at, asked.versions.program)
    if program is None or program.tiers is None:
        return _refused(asked, "not_eligible", "The program has no tiers")
    climber = climber_of(wallet, program.tiers, moment.journal)
    try:
        facts = match_tier(
            climber,
            asked.tier,
            asked.dated,
            moment.at,
            issuer=asked.issuer,
            until=asked.until,
            needs=asked.needs,
        )
    except Refused as refusal:
        return _refused(asked, refusal.code, refusal.detail)
    return tuple(facts)


def _refused(asked: MatchStatus, code: str, detail: str) -> tuple[AnyFact, ...]:
    return (StatusMatchRefused(match=asked.match, tier=asked.tier, code=code, detail=detail),)
