"""Members of a group: who comes, who goes without a word, who asks twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from laurel.embedded.kafka.errors import Code, RefusedError
from laurel.embedded.kafka.group import Group, Joined, Request
from tests.io.conftest import until

pytestmark = pytest.mark.anyio

SESSION = 0.3


def wish(
    member: str = "", *, kind: str = "consumer", rebalance: float = 5.0, says: bytes = b"t", by: str = "range"
) -> Request:
    return Request(member, "test", SESSION, rebalance, kind, [(by, says)])


def refusal(ask: Callable[[], object]) -> Code:
    with pytest.raises(RefusedError) as refused:
        ask()
    return refused.value.code


def still_goes_on(group: Group, member: Joined) -> bool:
    """Whether a sign of life is answered without being asked to join again."""
    try:
        group.beat(member.member, member.generation)
    except RefusedError as error:
        if error.code is Code.REBALANCE_IN_PROGRESS:
            return False
        raise
    return True


@pytest.fixture
async def group() -> Group:
    return Group(asyncio.get_running_loop())


async def pair(group: Group) -> tuple[Joined, Joined]:
    """Two members, the leader first, with what each was assigned."""
    both = await asyncio.gather(group.join(wish()), group.join(wish()))
    leader, other = sorted(both, key=lambda joined: joined.leader != joined.member)
    waiting = group.sync(other.member, other.generation, {})
    assert not waiting.done()
    own = group.sync(leader.member, leader.generation, {leader.member: b"first", other.member: b"second"})
    assert (await own, await waiting) == (b"first", b"second")
    return leader, other


async def test_those_who_start_together_are_one_generation(group: Group) -> None:
    leader, other = await pair(group)
    assert (leader.generation, other.generation) == (1, 1)
    assert leader.protocol == "range"
    assert sorted(name for name, _ in leader.members) == sorted([leader.member, other.member])
    assert list(other.members) == []
    group.beat(leader.member, 1)
    group.beat(other.member, 1)


async def test_a_newcomer_has_everybody_join_again(group: Group) -> None:
    leader, other = await pair(group)
    third = group.join(wish())
    await asyncio.sleep(0.05)
    assert not third.done()
    assert refusal(lambda: group.beat(leader.member, 1)) is Code.REBALANCE_IN_PROGRESS
    assert refusal(lambda: group.sync(other.member, 1, {})) is Code.REBALANCE_IN_PROGRESS
    again = [group.join(wish(leader.member)), group.join(wish(other.member))]
    joined = [await each for each in (third, *again)]
    assert {each.generation for each in joined} == {2}
    assert {each.leader for each in joined} == {leader.member}
    assert refusal(lambda: group.beat(other.member, 1)) is Code.ILLEGAL_GENERATION


async def test_who_is_silent_is_given_up_and_the_others_go_on(group: Group) -> None:
    leader, other = await pair(group)
    # The other one says nothing any more.
    await until(lambda: not still_goes_on(group, leader), 5)
    joined = await group.join(wish(leader.member))
    assert [name for name, _ in joined.members] == [leader.member]
    assert refusal(lambda: group.beat(other.member, joined.generation)) is Code.UNKNOWN_MEMBER_ID


async def test_nobody_waits_for_ever_for_one_who_does_not_join_again(group: Group) -> None:
    leader, _ = await pair(group)
    third = group.join(wish(rebalance=60.0))
    again = group.join(wish(leader.member, rebalance=60.0))
    async with asyncio.timeout(5):
        joined = await asyncio.gather(third, again)
    assert {each.generation for each in joined} == {2}


async def test_a_leader_that_assigns_nothing_is_replaced(group: Group) -> None:
    both = await asyncio.gather(group.join(wish()), group.join(wish()))
    leader, other = sorted(both, key=lambda joined: joined.leader != joined.member)
    waiting = group.sync(other.member, 1, {})
    async with asyncio.timeout(5):
        with pytest.raises(RefusedError) as refused:
            await waiting
        assert refused.value.code is Code.REBALANCE_IN_PROGRESS
        joined = await group.join(wish(other.member))
    assert joined.leader == other.member != leader.member


async def test_who_leaves_is_not_waited_for(group: Group) -> None:
    leader, other = await pair(group)
    group.leave(other.member)
    assert refusal(lambda: group.leave(other.member)) is Code.UNKNOWN_MEMBER_ID
    async with asyncio.timeout(SESSION / 2):
        joined = await group.join(wish(leader.member))
    assert [name for name, _ in joined.members] == [leader.member]


async def test_who_was_lost_while_joining_is_not_waited_for(group: Group) -> None:
    leader, other = await pair(group)
    lost = group.join(wish())
    lost.add_done_callback(group.forget_if_lost)
    lost.cancel()
    await asyncio.sleep(0)
    async with asyncio.timeout(SESSION / 2):
        joined = await asyncio.gather(group.join(wish(leader.member)), group.join(wish(other.member)))
    assert len(joined[0].members) == 2


async def test_who_asks_again_after_a_lost_answer_disturbs_nobody(group: Group) -> None:
    leader, other = await pair(group)
    again = await group.join(wish(other.member))
    assert (again.generation, again.member) == (1, other.member)
    assert await group.sync(other.member, 1, {}) == b"second"
    group.beat(leader.member, 1)


async def test_news_of_a_member_has_everybody_join_again(group: Group) -> None:
    leader, other = await pair(group)
    news = group.join(wish(other.member, says=b"other topics"))
    assert refusal(lambda: group.beat(leader.member, 1)) is Code.REBALANCE_IN_PROGRESS
    assert (await group.join(wish(leader.member))).generation == (await news).generation == 2


async def test_who_does_not_fit_is_refused(group: Group) -> None:
    await pair(group)
    assert refusal(lambda: group.join(wish("unknown"))) is Code.UNKNOWN_MEMBER_ID
    assert refusal(lambda: group.join(wish(kind="connect"))) is Code.INCONSISTENT_GROUP_PROTOCOL
    assert refusal(lambda: group.join(wish(by="sticky"))) is Code.INCONSISTENT_GROUP_PROTOCOL


async def test_offsets_are_kept_by_members_or_where_there_are_none(group: Group) -> None:
    group.may_commit("", -1)
    leader, _ = await pair(group)
    group.may_commit(leader.member, 1)
    assert refusal(lambda: group.may_commit("", -1)) is Code.UNKNOWN_MEMBER_ID
    assert refusal(lambda: group.may_commit(leader.member, 0)) is Code.ILLEGAL_GENERATION


async def test_an_empty_group_begins_again(group: Group) -> None:
    leader, other = await pair(group)
    group.leave(other.member)
    group.leave(leader.member)
    joined = await group.join(wish())
    assert joined.generation > 1
    assert joined.leader == joined.member
