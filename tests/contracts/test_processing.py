"""A message that cannot be read is named with all others of its batch."""

import pytest

from laurel.contracts.processing import CannotProcessError, read_each


def read(message: str) -> int | None:
    if message == "bad":
        raise CannotProcessError(message, "undecodable", "no number")
    return None if message == "skip" else int(message)


def test_what_is_for_others_is_left_out() -> None:
    assert read_each(["1", "skip", "2"], read) == [1, 2]


def test_all_that_cannot_be_read_is_named_at_once() -> None:
    with pytest.raises(CannotProcessError, match="undecodable: no number") as raised:
        read_each(["1", "bad", "2", "bad", "bad"], read)
    assert [each.message for each in (raised.value, *raised.value.also)] == ["bad"] * 3
