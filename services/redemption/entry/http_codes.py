"""The internal door for partners' codes: they are secrets, so they come by no topic and stand in no gateway's table."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Header, Path
from pydantic import BaseModel, ConfigDict, Field

from laurel.errors import Problem
from laurel.io.database import Connection, Database
from laurel.values import ID_PATTERN, NO_NUL_PATTERN, PLAIN_ID_PATTERN, Instant
from services.redemption.domain.state import RewardKey
from services.redemption.ports import CodeGiven, CodesTaken

Program = Annotated[str, Path(pattern=PLAIN_ID_PATTERN)]
Reward = Annotated[str, Path(pattern=ID_PATTERN)]


class GivenCode(BaseModel):
    """A code, the line it stood in, and when it is no longer good."""

    model_config = ConfigDict(extra="forbid")

    line: int
    code: Annotated[str, Field(min_length=1, max_length=64, pattern=NO_NUL_PATTERN)]
    expires_at: Instant | None = None


class GivenCodes(BaseModel):
    """So many codes as one transaction takes."""

    model_config = ConfigDict(extra="forbid")

    codes: Annotated[list[GivenCode], Field(max_length=5000)]


class Pools(Protocol):
    """Where partners' codes lie until they are handed out."""

    async def fill(self, connection: Connection, key: RewardKey, given: Sequence[CodeGiven]) -> CodesTaken | None:
        """Take codes into a pool, each once; None where there is no such pool."""


def add_code_routes(router: APIRouter, database: Database, pools: Pools, check: Callable[[str | None], None]) -> None:
    """Add the route; `check` looks at who asks."""

    @router.post("/rewards/{reward}/codes")
    async def give(
        program: Program, reward: Reward, given: GivenCodes, authorization: Annotated[str | None, Header()] = None
    ) -> dict[str, Any]:
        """Take codes into the reward's pool: a code that is there already is left as it is."""
        check(authorization)
        codes = [CodeGiven(each.line, each.code, each.expires_at) for each in given.codes]
        async with database.transaction() as connection:
            taken = await pools.fill(connection, RewardKey(program, reward), codes)
        if taken is None:
            raise Problem("reward_unknown")
        return {"added": taken.added, "faults": [fault._asdict() for fault in taken.faults]}
