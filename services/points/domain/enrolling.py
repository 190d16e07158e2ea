"""A member joins: a wallet is opened."""

from __future__ import annotations

from services.points.domain.asked import Enrol
from services.points.domain.birthdays import await_birthday
from services.points.domain.facts import AnyFact, MemberEnrolled
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet


def enrol(wallet: Wallet, asked: Enrol, moment: Moment) -> tuple[AnyFact, ...]:
    """Open the wallet; one that is open already stays as it is (the gateway alone decides who exists)."""
    if wallet.exists:
        return ()
    program = moment.programs.in_force(wallet.program, asked.enrolled_at, asked.versions.program)
    joined = Wallet(wallet.program, wallet.member, attributes=asked.attributes)
    return (
        MemberEnrolled(
            enrolled_at=asked.enrolled_at,
            person=asked.person,
            attributes=asked.attributes,
            referred_by=asked.referred_by if asked.referred_by != wallet.member else None,
        ),
        *await_birthday(joined, program, asked.at),
    )
