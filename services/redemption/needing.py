"""What the messages of a batch can touch, said before anything is locked."""

from __future__ import annotations

from collections.abc import Sequence

from services.redemption.decoding import VERSIONED, Step
from services.redemption.domain.heard import (
    CancelRedemption,
    ConfirmRedemption,
    PointsConverted,
    PointsHeld,
    PointsRestored,
    PublishReward,
    Redeem,
    ShareReturned,
    UseReturned,
    UseVoucher,
    VoidVoucher,
)
from services.redemption.domain.judging import QUANTITY_MAX
from services.redemption.domain.state import RewardKey, SagaKey
from services.redemption.domain.vouchers import VoucherKey
from services.redemption.ports import Needs


def needs(steps: Sequence[Step]) -> Needs:
    """Say what the messages can touch."""
    out = Needs()
    for step in steps:
        match step.heard:
            case Redeem() as heard if isinstance(step.key, SagaKey):
                out.requested.add(step.key)
                reward = RewardKey(heard.program, heard.reward)
                out.rewards[reward] = min(heard.at, out.rewards.get(reward, heard.at))
                # More is refused, so it needs no codes.
                out.pieces[reward] += heard.pieces if heard.pieces <= QUANTITY_MAX else 0
                out.given_at = min(heard.at, out.given_at or heard.at)
            case PublishReward() as heard:
                out.published.add(RewardKey(heard.program, heard.reward))
            case PointsConverted() if isinstance(step.key, VoucherKey):
                out.issued.add(step.key)
            case CancelRedemption() | PointsRestored(by_return=str()) if isinstance(step.key, SagaKey):
                out.cancelled.add(step.key)
            case ShareReturned() if isinstance(step.key, VoucherKey):
                out.asked.add(step.key)
            case UseReturned() as heard if isinstance(step.key, VoucherKey):
                out.asked.add(step.key)
                out.uses.add((step.key, heard.reference))
            case _ if isinstance(step.key, VoucherKey):
                out.asked.add(step.key)
                if isinstance(step.heard, UseVoucher | VoidVoucher) and step.heard.reference is not None:
                    out.uses.add((step.key, step.heard.reference))
            case _ if isinstance(step.key, SagaKey):
                out.answered.add(step.key)
                if isinstance(step.heard, PointsHeld | ConfirmRedemption):
                    out.given_at = min(step.heard.at, out.given_at or step.heard.at)
    return out


def newest_versions(steps: Sequence[Step]) -> dict[str, int]:
    """Return the newest version of each program that any of the messages was accepted under."""
    newest: dict[str, int] = {}
    for step in steps:
        if isinstance(step.heard, VERSIONED):
            version = step.heard.versions.program
            if version > newest.get(step.heard.program, 0):
                newest[step.heard.program] = version
    return newest
