"""What the messages of a batch can touch, before anything is locked."""

from __future__ import annotations

import pytest

from services.redemption.decoding import decode
from services.redemption.domain.state import RewardKey
from services.redemption.needing import needs
from services.redemption.testing import PROGRAM, redemption_requested


@pytest.mark.parametrize(("quantity", "party", "codes"), [(2, 3, 6), (1000, 1, 1000), (1000, 2, 0), (1000, 1000, 0)])
def test_what_is_more_than_can_be_had_at_once_needs_no_codes(quantity: int, party: int, codes: int) -> None:
    """A wish for a million would have a million codes of a pool read, and be refused."""
    (step,) = decode([redemption_requested("m-1", "r-1", quantity=quantity, party=party)])
    assert needs([step]).pieces[RewardKey(PROGRAM, "cup")] == codes
