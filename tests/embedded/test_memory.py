"""What of the machine's memory is the database's."""

from __future__ import annotations

from pathlib import Path

import pytest

from laurel.embedded.memory import memory_mb, shared_buffers_mb


@pytest.mark.parametrize(
    ("memory", "buffers"), [(1_000, 128), (2_048, 128), (4_096, 256), (8_192, 512), (65_536, 1_024)]
)
def test_a_sixteenth_within_bounds(memory: int, buffers: int) -> None:
    assert shared_buffers_mb(memory) == buffers


def test_a_container_has_what_it_may_take(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    whole = memory_mb(limit)
    assert whole > 256
    limit.write_text("268435456\n")
    assert memory_mb(limit) == 256
    limit.write_text("max\n")
    assert memory_mb(limit) == whole
