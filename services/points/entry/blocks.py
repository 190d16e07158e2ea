"""Questions about what partners pay for in advance, asked by the gateway."""

from typing import Annotated, Any, Protocol

import msgspec
from fastapi import APIRouter, Query, Response

Limit = Annotated[int, Query(ge=1, le=500)]
Text = Annotated[str, Query(max_length=128)]
Journal = Annotated[int, Query(ge=0, le=2**62)]


class BlockViews(Protocol):
    """Answers about blocks."""

    async def blocks(self, program: str, partner: str) -> list[dict[str, Any]]: ...
    async def moved_by_payment(
        self, program: str, partner: str, reference: str, after: tuple[str, int], limit: int
    ) -> tuple[list[tuple[str, int]], tuple[str, int] | None]: ...


def block_routes(views: BlockViews) -> APIRouter:
    """Return the routes over these views."""
    router = APIRouter(prefix="/v1/programs/{program}/partners/{partner}")

    @router.get("/blocks")
    async def blocks(program: str, partner: str) -> Response:
        return _json({"blocks": await views.blocks(program, partner)})

    @router.get("/moved")
    async def moved(
        program: str, partner: str, reference: Text, after: Text = "", journal: Journal = 0, limit: Limit = 500
    ) -> Response:
        members, following = await views.moved_by_payment(program, partner, reference, (after, journal), limit)
        return _json({"members": members, "next": following})

    return router


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
