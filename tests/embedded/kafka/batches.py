"""Record batches as producers send them."""

from __future__ import annotations

from aiokafka.record.default_records import DefaultRecordBatchBuilder


def batch(
    *values: bytes, producer: int = -1, epoch: int = -1, sequence: int = -1, timestamp: int = 1_700_000_000_000
) -> bytes:
    """Make one batch of these values, all of one moment."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=producer,
        producer_epoch=epoch,
        base_sequence=sequence,
        batch_size=1_000_000,
    )
    for number, value in enumerate(values):
        assert builder.append(number, timestamp, b"key", value, []) is not None
    return bytes(builder.build())
