"""A till that takes one voucher, whatever it is good for."""

from __future__ import annotations

from typing import Any

import msgspec

from laurel.contracts.vouchers import VoucherTerms, VoucherWorth
from services.redemption.domain.vouchers import Voucher, VoucherKey, issued
from services.redemption.road import Road
from services.redemption.testing import (
    NOON,
    PROGRAM,
    FixedPrograms,
    MemoryStore,
    Told,
    finish,
    points_held,
    redemption_requested,
    reward_published,
    voucher_used,
    voucher_voided,
)

GIFT_CARD = VoucherTerms(value=VoucherWorth(amount=5000, currency="GBP"), parts=True, not_above_basket=True)


class Till:
    """A member who bought one voucher of these terms, and the road."""

    def __init__(self, terms: VoucherTerms) -> None:
        self.store = MemoryStore()
        self.road = Road(FixedPrograms())
        self.hear(reward_published(value=None, valid_days=None, voucher=terms))
        self.hear(redemption_requested("m-1", "r-1"))
        self.made = self.hear(points_held("m-1", "r-1", 100))
        # The store in memory keeps vouchers of redemptions with their sagas; the tables bring them back as vouchers.
        (fact,) = [each for each in self.store.decisions[-1].facts if type(each).__name__ == "VoucherIssued"]
        self.key = VoucherKey(PROGRAM, "m-1", fact.voucher)  # type: ignore[union-attr]
        self.store.state.vouchers[self.key] = issued(self.key, fact, NOON)  # type: ignore[arg-type]

    def hear(self, *told: Told) -> list[dict[str, Any]]:
        said = finish(self.road.run(self.store, told))
        return [{"type": each.type, **msgspec.json.decode(each.body)} for each in said]

    def use(self, reference: str, **more: Any) -> dict[str, Any]:
        (said,) = self.hear(voucher_used("m-1", self.key.voucher, reference, **more))
        return said

    def undo(self, reference: str, **more: Any) -> dict[str, Any]:
        (said,) = self.hear(voucher_voided("m-1", self.key.voucher, reference, **more))
        return said

    @property
    def voucher(self) -> Voucher:
        return self.store.state.vouchers[self.key]
