"""One partition: what was appended is read as it was, from any offset, and what came twice is there once."""

from __future__ import annotations

import pytest
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from laurel.embedded.kafka.errors import Code, RefusedError
from laurel.embedded.kafka.partition import EARLIEST, LATEST, Partition
from tests.embedded.kafka.batches import batch

_EVERYTHING = 1_000_000


def values(found: list[bytes]) -> list[tuple[int, bytes]]:
    """What a consumer makes of batches: offsets and values."""
    told: list[tuple[int, bytes]] = []
    records = MemoryRecords(b"".join(found))
    while records.has_next():
        one = records.next_batch()
        assert one is not None
        assert one.validate_crc()
        told.extend((record.offset, record.value) for record in one)
    return told


def refusal(partition: Partition, records: bytes) -> Code:
    with pytest.raises(RefusedError) as refused:
        partition.append(records)
    return refused.value.code


@given(st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=5), max_size=12), st.data())
def test_what_was_appended_is_read_from_any_offset(sent: list[list[bytes]], data: st.DataObject) -> None:
    partition = Partition()
    expected: list[tuple[int, bytes]] = []
    sizes: list[tuple[int, int]] = []
    for one in sent:
        records = batch(*one)
        assert partition.append(records) == len(expected)
        expected += [(len(expected) + number, value) for number, value in enumerate(one)]
        sizes.append((len(expected), len(records)))
    assert partition.end == len(expected)
    assert values(partition.read(0, _EVERYTHING, one_at_least=False)) == expected

    offset = data.draw(st.integers(0, len(expected)), label="offset")
    bytes_max = data.draw(st.integers(0, 300), label="bytes_max")
    found = partition.read(offset, bytes_max, one_at_least=True)
    told = [each for each in values(found) if each[0] >= offset]
    assert told == expected[offset : offset + len(told)]
    # It stops before the first batch that does not fit, and never at the first.
    behind = [size for end, size in sizes if end > offset]
    assert len(found) == len(behind) or len(found) == 1 or sum(map(len, found)) <= bytes_max
    if behind[len(found) :] and found:
        assert sum(behind[: len(found) + 1]) > bytes_max
    assert bool(found) == bool(behind)


def test_what_lies_outside_cannot_be_read() -> None:
    partition = Partition()
    partition.append(batch(b"a", b"b"))
    assert partition.read(2, _EVERYTHING, one_at_least=True) == []
    for offset in (-1, 3):
        with pytest.raises(RefusedError) as refused:
            partition.read(offset, _EVERYTHING, one_at_least=True)
        assert refused.value.code is Code.OFFSET_OUT_OF_RANGE


def test_several_batches_of_one_request() -> None:
    partition = Partition()
    assert partition.append(batch(b"a", b"b") + batch(b"c")) == 0
    assert values(partition.read(0, _EVERYTHING, one_at_least=False)) == [(0, b"a"), (1, b"b"), (2, b"c")]


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (b"", Code.CORRUPT_MESSAGE),
        (batch(b"a")[:-1], Code.CORRUPT_MESSAGE),
        (batch(b"a") + b"\0", Code.CORRUPT_MESSAGE),
        (batch(b"a")[:40], Code.CORRUPT_MESSAGE),
        (batch(b"a")[:16] + b"\1" + batch(b"a")[17:], Code.UNSUPPORTED_FOR_MESSAGE_FORMAT),
        (batch(b"a")[:57] + b"\0\0\0\0" + batch(b"a")[61:], Code.CORRUPT_MESSAGE),
        (batch(b"a", producer=1, epoch=0, sequence=0) + batch(b"b"), Code.CORRUPT_MESSAGE),
    ],
)
def test_what_is_no_batch_is_refused_and_leaves_nothing(records: bytes, code: Code) -> None:
    partition = Partition()
    assert refusal(partition, records) is code
    assert partition.end == 0
    assert partition.append(batch(b"a")) == 0


def test_a_batch_that_comes_again_is_not_appended_again() -> None:
    partition = Partition()
    partition.append(batch(b"other"))
    first = batch(b"a", b"b", producer=7, epoch=0, sequence=0)
    second = batch(b"c", producer=7, epoch=0, sequence=2)
    assert (partition.append(first), partition.append(second)) == (1, 3)
    assert (partition.append(first), partition.append(second)) == (1, 3)
    assert [value for _, value in values(partition.read(0, _EVERYTHING, one_at_least=False))] == [
        b"other", b"a", b"b", b"c",
    ]  # fmt: skip


def test_a_batch_that_leaves_one_out_is_refused() -> None:
    partition = Partition()
    partition.append(batch(b"a", producer=7, epoch=0, sequence=0))
    assert refusal(partition, batch(b"c", producer=7, epoch=0, sequence=2)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert partition.append(batch(b"b", producer=7, epoch=0, sequence=1)) == 1
    # Long past, and not among what is remembered.
    for number in range(2, 9):
        partition.append(batch(b"x", producer=7, epoch=0, sequence=number))
    assert refusal(partition, batch(b"a", producer=7, epoch=0, sequence=0)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_producer_that_begins_anew_counts_anew_and_its_past_is_refused() -> None:
    partition = Partition()
    partition.append(batch(b"a", producer=7, epoch=0, sequence=0))
    assert refusal(partition, batch(b"b", producer=7, epoch=1, sequence=1)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert partition.append(batch(b"b", producer=7, epoch=1, sequence=0)) == 1
    assert refusal(partition, batch(b"c", producer=7, epoch=0, sequence=1)) is Code.INVALID_PRODUCER_EPOCH


def test_sequences_begin_again_where_they_end() -> None:
    partition = Partition()
    last = 2**31 - 1
    # The first that is seen of a producer may have any number: its earlier ones may lie in a log that was lost.
    partition.append(batch(b"a", b"b", producer=7, epoch=0, sequence=last))
    assert partition.append(batch(b"c", producer=7, epoch=0, sequence=1)) == 2


def test_where_a_moment_begins() -> None:
    partition = Partition()
    assert partition.offset_at(EARLIEST) == (-1, 0)
    assert partition.offset_at(LATEST) == (-1, 0)
    assert partition.offset_at(1) == (-1, -1)
    for moment, sent in ((100, (b"a", b"b")), (90, (b"late",)), (200, (b"c",))):
        partition.append(batch(*sent, timestamp=moment))
    assert partition.offset_at(EARLIEST) == (-1, 0)
    assert partition.offset_at(LATEST) == (-1, 4)
    assert partition.offset_at(100) == (100, 0)
    assert partition.offset_at(101) == (200, 3)
    assert partition.offset_at(201) == (-1, -1)


def test_who_listens_hears_of_each_append() -> None:
    partition = Partition()
    heard: list[int] = []

    def listener() -> None:
        heard.append(partition.end)

    partition.listeners.add(listener)
    partition.append(batch(b"a"))
    partition.append(batch(b"b", b"c"))
    assert heard == [1, 3]
