"""The internal door to a service's exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from laurel.io.exporting import MEDIA_TYPE, MEMBERS_AT_ONCE

if TYPE_CHECKING:
    from laurel.io.exporting import Exporter

After = Annotated[str, Query(max_length=128)]
Only = Annotated[list[str] | None, Query(max_length=MEMBERS_AT_ONCE)]


def export_routes(exporter: Exporter) -> APIRouter:
    """Return the route over an exporter."""
    router = APIRouter()

    @router.get("/v1/programs/{program}/exports/{kind}")
    async def export(program: str, kind: str, after: After = "", member: Only = None) -> StreamingResponse:
        """Export one kind of rows, from behind a member, or of some members alone."""
        return StreamingResponse(exporter.begin(kind, program, after, member or ()), media_type=MEDIA_TYPE)

    return router
