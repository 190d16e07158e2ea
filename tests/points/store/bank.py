"""A bank over the tables, whose members have friends that they referred."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from laurel.io.database import Database
from laurel.program import load_program
from tests.points.referring import MINE, SAID, THEIRS
from tests.points.stored import StoredTill
from tests.points.till import enrolment
from tests.program.samples import a_document


async def bank(
    database: Database, *friends: str, referrer: str = "m-2", rules: Sequence[dict[str, Any]] = (MINE, THEIRS, SAID)
) -> StoredTill:
    till = StoredTill(load_program(a_document(*rules)))
    till.database = database
    await till.send(enrolment("sample", "m-2"), enrolment("sample", "m-3"))
    await till.send(*(enrolment("sample", friend, referred_by=referrer) for friend in friends or ("m-1",)))
    return till
