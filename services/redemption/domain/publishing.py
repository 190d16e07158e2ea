"""A reward is offered or changed, or a resource that awards are seats of."""

from __future__ import annotations

from services.redemption.domain.facts import AnyFact, ResourcePublished, RewardPublished
from services.redemption.domain.heard import PublishResource, PublishReward
from services.redemption.domain.moment import Moment
from services.redemption.domain.state import ResourceKey, RewardKey, State


def publish(state: State, heard: PublishReward, _moment: Moment) -> tuple[AnyFact, ...]:
    """Make the next version of the reward. Sagas on their way keep the version they were promised."""
    stock = state.stock.get(RewardKey(heard.program, heard.reward))
    version = 1 if stock is None else stock.version + 1
    return (RewardPublished(reward=heard.reward, version=version, terms=heard.document),)


def publish_resource(state: State, heard: PublishResource, _moment: Moment) -> tuple[AnyFact, ...]:
    """Say something new of a resource. What was sold stays sold, also where there is less of it now."""
    said = state.resources.get(ResourceKey(heard.program, heard.resource), ())
    return (ResourcePublished(resource=heard.resource, version=len(said) + 1, terms=heard.document),)
