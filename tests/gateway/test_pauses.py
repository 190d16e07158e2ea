"""For how long a receiver of webhooks may ask to be left alone."""

from __future__ import annotations

import pytest

from services.gateway.attempting import pause_asked


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0), ("0", 0), ("000", 0), ("7", 7), ("0007", 7), ("3600", 3600), ("3601", 3600), ("99999", 3600),
        ("9" * 5_000, 3600), ("-1", 0), ("1.5", 0), ("²", 0), ("٣", 0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
    ],
)  # fmt: skip
def test_a_pause_is_a_number_of_seconds_and_an_hour_at_most(header: str, seconds: int) -> None:
    assert pause_asked(header) == seconds
