"""A reward is offered, or changed."""

from __future__ import annotations

from services.redemption.domain.facts import AnyFact, RewardPublished
from services.redemption.domain.heard import PublishReward
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import RewardKey, State


def publish(state: State, heard: PublishReward, _moment: Moment) -> tuple[AnyFact, ...]:
    """Make the next version of the reward. Sagas on their way keep the version they were promised."""
    stock = state.stock.get(RewardKey(heard.program, heard.reward))
    version = 1 if stock is None else stock.version + 1
    return (RewardPublished(reward=heard.reward, version=version, terms=heard.document),)
