"""The `Prefer` header."""

from __future__ import annotations

import pytest

from services.gateway.preferring import preference


@pytest.mark.parametrize(
    ("header", "seconds", "applied"),
    [
        (None, 5, None),
        ("", 5, None),
        ("wait=3", 3, "wait=3"),
        ("WAIT = 3", 3, "wait=3"),
        ('wait="3"', 3, "wait=3"),
        ("wait=0", 0, "wait=0"),
        ("wait=300", 30, "wait=30"),
        ("wait=3, wait=7", 3, "wait=3"),
        ("respond-async", 0, "respond-async"),
        ("respond-async, wait=2", 2, "respond-async, wait=2"),
        ("return=minimal; foo, wait=4; bar=1", 4, "wait=4"),
        ("wait=-1", 5, None),
        ("wait=1.5", 5, None),
        ("wait=soon", 5, None),
        ("wait", 5, None),
        ("handling=strict", 5, None),
    ],
)
def test_what_is_understood_is_honoured_and_named(header: str | None, seconds: float, applied: str | None) -> None:
    found = preference(header, default_seconds=5, max_seconds=30)
    assert (found.wait_seconds, found.applied) == (seconds, applied)
