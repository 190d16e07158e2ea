"""A member whose points became a voucher, and the road that it goes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from services.redemption.domain.heard import VoucherEnds
from services.redemption.domain.moment import ProgramTerms
from services.redemption.domain.vouchers import Voucher, VoucherKey
from services.redemption.road import Road
from services.redemption.testing import PROGRAM, FixedPrograms, MemoryStore, Told, finish


class Desk:
    """One member with one voucher of £2.50, and the road."""

    def __init__(self, *, manual: bool = False) -> None:
        self.store = MemoryStore()
        self.road = Road(FixedPrograms(ProgramTerms(manual=manual)))

    def hear(self, *told: Told) -> list[dict[str, Any]]:
        said = finish(self.road.run(self.store, told))
        return [{"type": each.type, **msgspec.json.decode(each.body)} for each in said]

    def one(self, told: Told) -> tuple[str, str | None]:
        (said,) = self.hear(told)
        return said["type"].removeprefix("voucher.").removesuffix(".v1"), said.get("code")

    def end(self, at: datetime) -> list[str]:
        due = [VoucherEnds(program=PROGRAM, member="m-1", voucher="v-1", at=at)]
        return [each.type for each in finish(self.road.run_due(self.store, due))]

    @property
    def voucher(self) -> Voucher:
        return self.store.state.vouchers[VoucherKey(PROGRAM, "m-1", "v-1")]
