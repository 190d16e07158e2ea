"""A redemption service on paper, as the tests of its deciders use it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from services.redemption.domain.heard import TimeIsUp
from services.redemption.domain.moment import ProgramTerms
from services.redemption.domain.state import RewardKey, Saga, SagaKey, Stock
from services.redemption.domain.vouchers import Voucher
from services.redemption.ports import Announcement
from services.redemption.road import Road
from services.redemption.testing import PROGRAM, FixedPrograms, MemoryStore, Told, finish

CUP = RewardKey(PROGRAM, "cup")


class Desk:
    """A redemption service on paper."""

    def __init__(self, terms: ProgramTerms | None = None) -> None:
        self.store = MemoryStore()
        self.road = Road(FixedPrograms(terms))

    def hear(self, *told: Told) -> list[Announcement]:
        return finish(self.road.run(self.store, told))

    def time_is_up(self, redemption: str, at: datetime, member: str = "m-1") -> list[Announcement]:
        heard = TimeIsUp(program=PROGRAM, member=member, redemption=redemption, at=at)
        return finish(self.road.run_due(self.store, [heard]))

    def saga(self, redemption: str = "r-1", member: str = "m-1") -> Saga:
        return self.store.state.sagas[SagaKey(PROGRAM, member, redemption)]

    def vouchers(self, redemption: str = "r-1") -> list[Voucher]:
        return [each for each in self.store.state.vouchers.values() if each.redemption == redemption]

    @property
    def left(self) -> int | None:
        """Return how many cups can be had, by the terms that were published last."""
        return self.stock.left(self.store.state.terms[CUP, self.stock.version])

    @property
    def stock(self) -> Stock:
        return self.store.state.stock[CUP]


def types(said: list[Announcement]) -> list[str]:
    return [each.type.removesuffix(".v1") for each in said]


def body(said: Announcement) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(said.body)
    return decoded
