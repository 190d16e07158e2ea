"""What a broker that lives and forgets may never say twice."""

from __future__ import annotations

from laurel.embedded.kafka.broker import Broker


def test_no_two_producers_have_a_number_in_common_whichever_broker_gave_it() -> None:
    given = [broker.new_producer() for broker in (Broker("a", "here", 1), Broker("b", "here", 1)) for _ in range(3)]
    assert len(set(given)) == 6
    assert all(0 <= number < 1 << 63 for number in given)
