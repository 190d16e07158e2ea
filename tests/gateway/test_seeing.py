"""Members are read in sets, each for whoever asked for it."""

from __future__ import annotations

import asyncio

import pytest

from laurel.errors import Problem
from services.gateway.seeing import Seeing
from services.gateway.settings import GatewaySettings
from tests.gateway.stage import PROGRAM, Instance

pytestmark = pytest.mark.anyio


async def test_who_asks_at_once_is_answered_each_its_own(here: Instance, member: str) -> None:
    path = f"/v1/programs/{PROGRAM}/members"
    for name in ("m-2", "m-3"):
        assert (await here.http.post(path, json={"member": name})).status_code == 201
    seeing = Seeing(here.parts.database, here.parts.settings)
    asked = [member, "nobody", "m-3", "m-2", "m-3"]
    found = await asyncio.gather(*(seeing.find(PROGRAM, each) for each in asked))
    assert [each.row.member if each is not None else None for each in found] == [member, None, "m-3", "m-2", "m-3"]
    assert await seeing.find("another", member) is None
    await seeing.close()


async def test_more_than_may_wait_come_back_later(here: Instance, settings: GatewaySettings, member: str) -> None:
    seeing = Seeing(here.parts.database, settings.model_copy(update={"gather_waiting_max": 2, "gather_max": 1}))
    found = await asyncio.gather(*(seeing.find(PROGRAM, member) for _ in range(5)), return_exceptions=True)
    refused = [each for each in found if isinstance(each, Problem)]
    assert [(each.status, each.code) for each in refused] == [(503, "overloaded")] * 3
    assert len([each for each in found if not isinstance(each, BaseException)]) == 2
    await seeing.close()
