from datetime import UTC, datetime

import pytest

from laurel.contracts.hashing import body_hash
from laurel.contracts.http import EnrolMember
from laurel.contracts.http_redeeming import RequestRedemption
from laurel.contracts.reading import read
from laurel.shapes import struct_of


def test_defaults_and_offsets_do_not_count() -> None:
    said = [
        b'{"member":"m-1","enrolled_at":"2026-03-14T09:26:53Z"}',
        b'{"enrolled_at":"2026-03-14T10:26:53+01:00","member":"m-1","attributes":{},"person":null}',
    ]
    hashes = {body_hash(read(EnrolMember, body)) for body in said}
    hashes |= {body_hash(EnrolMember.model_validate_json(body)) for body in said}
    assert hashes == {"1:9d66100bebdab932a9bd4493808a08780f7f6945580f2e9aeff2ede6f76c7081"}


def test_a_quantity_of_one_is_the_default() -> None:
    once = read(RequestRedemption, b'{"member":"m-1","reward":"r"}')
    assert body_hash(read(RequestRedemption, b'{"member":"m-1","reward":"r","quantity":1}')) == body_hash(once)
    assert body_hash(read(RequestRedemption, b'{"member":"m-1","reward":"r","quantity":2}')) != body_hash(once)


def test_a_struct_built_by_hand_has_the_hash_of_the_one_decoded() -> None:
    built = struct_of(EnrolMember)(member="m-1", enrolled_at=datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC))
    assert body_hash(built) == body_hash(read(EnrolMember, b'{"member":"m-1","enrolled_at":"2026-03-14T09:26:53Z"}'))


def test_a_version_that_never_was_is_refused() -> None:
    with pytest.raises(ValueError, match="hash version 0"):
        body_hash(EnrolMember(), version=0)
