"""The rewards that ship with programs are right, and are those that the twelve programs name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from laurel.contracts.http_redeeming import PublishResource, PublishReward
from laurel.contracts.reading import read
from laurel.contracts.vouchers import voucher_faults
from laurel.embedded.publishing import offered_beside, program_files
from laurel.program.loading import load_program
from laurel.program.reward_faults import resource_faults, reward_faults

AWARDS = {"award-domestic", "award-europe", "award-asia-pacific"}
NAMED = {
    "aadvantage": AWARDS,
    "mileageplus": AWARDS,
    "companion": AWARDS,
    "worldperks": AWARDS,
    "revenue-flyer": {"fare"},
    "coalition": {"hotel-night"},
    "gm-card": {"new-vehicle"},
    "ford-card": {"new-vehicle"},
    "hanting": {"free-night", "half-price-night", "partner-coffee", "breakfast", "new-guest-coupon"},
    "bank-classes": {"account-credit"},
    "seven-eleven": {"pay-at-till"},
}


@pytest.mark.parametrize("file", program_files(), ids=lambda file: file.stem)
def test_what_a_program_offers_is_right(file: Path) -> None:
    program = load_program(file.read_bytes(), file.stem, syntax="yaml")
    offered = offered_beside(file)
    for path, document in offered.items():
        raw = msgspec.json.encode(document)
        if path.startswith("rewards/"):
            reward = read(PublishReward, raw)
            assert reward_faults(reward, program) == []
            assert reward.voucher is None or list(voucher_faults(reward.voucher)) == []
        else:
            assert resource_faults(read(PublishResource, raw)) == []
    names = {path.removeprefix("rewards/") for path in offered if path.startswith("rewards/")}
    assert names == NAMED.get(file.stem, set())


def test_every_file_of_rewards_has_its_program() -> None:
    folder = program_files()[0].parent
    assert {path.name.removesuffix(".rewards.yaml") for path in folder.glob("*.rewards.yaml")} == NAMED.keys()
