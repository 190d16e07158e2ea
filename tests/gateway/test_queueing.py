"""What waits at a webhook: each member's events in order, whoever fails."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.queueing import Item, Queues


def item(position: int, member: str, **more: float) -> Item:
    return Item(position, "p", member, "points.awarded.v1", b"", **more)  # type: ignore[arg-type]


def positions(queues: Queues, now: float) -> list[int]:
    found: list[int] = []
    while (taken := queues.take(now)) is not None:
        found.append(taken.position)
    return found


def test_members_go_beside_each_other_and_each_in_order() -> None:
    queues = Queues()
    items = {position: item(position, member) for position, member in enumerate("aabba", 1)}
    for each in items.values():
        queues.add(each)
    assert positions(queues, 0) == [1, 3]
    queues.done(items[1])
    assert positions(queues, 0) == [2]
    queues.done(items[3])
    queues.done(items[2])
    assert positions(queues, 0) == [4, 5]
    assert len(queues) == 2


def test_what_failed_holds_up_its_member_only_until_it_is_due() -> None:
    queues = Queues()
    first, second, other = item(1, "a"), item(2, "a"), item(3, "b")
    for each in (first, second, other):
        queues.add(each)
    assert positions(queues, 0) == [1, 3]
    first.attempts = 1
    queues.again(first, 5.0)
    queues.done(other)
    assert (positions(queues, 4.9), queues.due_at()) == ([], 5.0)
    assert [each.position for each in queues.behind_failed()] == [2]
    assert positions(queues, 5.0) == [1]
    queues.done(first)
    assert positions(queues, 5.0) == [2]


def test_what_is_sent_again_goes_before_what_came_later_but_not_before_what_is_on_its_way() -> None:
    queues = Queues()
    flying, later, again = item(5, "a"), item(6, "a"), item(2, "a")
    queues.add(flying)
    queues.add(later)
    assert positions(queues, 0) == [5]
    queues.add(again)
    assert positions(queues, 0) == []
    queues.done(flying)
    assert positions(queues, 0) == [2]
    queues.done(again)
    assert positions(queues, 0) == [6]


@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from("abc")), unique_by=lambda each: each[0]),
    st.integers(0, 2**32),
)
def test_whatever_happens_everything_goes_once_and_no_member_is_overtaken(
    events: list[tuple[int, str]], chance: int
) -> None:
    queues = Queues()
    draw = Random(chance).random
    for position, member in sorted(events):
        queues.add(item(position, member))
    flying: list[Item] = []
    told: list[tuple[int, str]] = []
    now = 0.0
    while queues:
        now += 1
        while (taken := queues.take(now)) is not None:
            assert taken.member not in {each.member for each in flying}
            flying.append(taken)
        assert flying or queues.due_at() is not None
        for each in list(flying):
            if draw() < 0.5:
                flying.remove(each)
                if draw() < 0.3:
                    each.attempts += 1
                    queues.again(each, now + 2)
                else:
                    queues.done(each)
                    told.append((each.position, each.member))
    assert sorted(told) == sorted(events)
    for member in "abc":
        own = [position for position, whose in told if whose == member]
        assert own == sorted(own)
