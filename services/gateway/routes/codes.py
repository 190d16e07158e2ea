"""Codes of partners are given to a reward, line by line. They pass through here and lie nowhere in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.errors import Problem
from laurel.io.http import request_id
from services.gateway.batching import GoneError
from services.gateway.documenting import described
from services.gateway.filling import Filling
from services.gateway.passing import path_of
from services.gateway.reading import api_of, in_program, path_id, query_of, require_media
from services.gateway.routes.batches import unpacked
from services.gateway.shown import CodesShown
from services.gateway.splitting import BombError, BrokenError, Lines

if TYPE_CHECKING:
    from collections.abc import Sequence

router = APIRouter()

_PATH: Final = "/v1/programs/{program}/rewards/{reward}/codes"
_NDJSON: Final = "application/x-ndjson"
_CSV: Final = "text/csv"
_LINE_BYTES_MAX: Final = 1_000
_TEXT: Final = {"schema": {"type": "string", "description": "`code` and, if it has one, `expires_at` in each line"}}


@router.post(
    **described(
        "Redeeming",
        "Give a partner's codes to a reward",
        path=_PATH,
        answers={200: CodesShown},
        problems=(400, 403, 413, 415, 422, 503),
        body={_NDJSON: _TEXT, _CSV: _TEXT},
        # Clients are generated wrongly where several kinds of bodies come without any parameter that need not be there.
        headers={
            "X-Request-Id": "An id of your own for this request; the answer carries it",
            "Content-Encoding": "`gzip`, or left out",
        },
    )
)
async def give_codes(request: Request) -> Response:
    """A code that is there already changes nothing, so a file that broke off is sent again; bad lines stop nothing."""
    _, head = await in_program(request, "admin")
    query_of(request)
    reward = path_id(request, "reward", "reward_unknown")
    media = require_media(request, _NDJSON, _CSV)
    body = unpacked(request)
    path = path_of("v1", "programs", head.program, "rewards", reward, "codes")

    async def pass_on(codes: Sequence[dict[str, Any]]) -> dict[str, Any]:
        answered = await api_of(request).redemption.ask(
            "POST", path, body=msgspec.json.encode({"codes": codes}), request_id=request_id(request)
        )
        if answered.status_code == 404:
            raise Problem("reward_unknown", "There is no such reward whose codes are a partner's.")
        if answered.status_code != 200:
            raise Problem("unavailable", "redemption cannot take codes.", retry_after_seconds=1)
        told: dict[str, Any] = msgspec.json.decode(bytes(answered.body))
        return told

    filling, lines = Filling(pass_on, csv=media == _CSV), Lines(_LINE_BYTES_MAX)
    try:
        async for piece in body.pieces():
            for line in lines.feed(piece):
                await filling.take(line)
            # Of what packs well very much comes at once, and others are served meanwhile.
            await asyncio.sleep(0)
        for line in lines.finish():
            await filling.take(line)
        await filling.finish()
    except BombError as error:
        raise _broken("too_large", str(error), filling) from None
    except (BrokenError, GoneError, TimeoutError) as error:
        raise _broken("malformed", str(error), filling) from None
    except Problem as problem:
        problem.extra |= _so_far(filling)
        raise
    return Response(msgspec.json.encode({"reward": reward, **filling.told()}), media_type="application/json")


def _broken(code: str, why: str, filling: Filling) -> Problem:
    detail = f"The body broke off{f': {why}' if why else ''}. Its lines before that may be taken; send it again."
    return Problem(code, detail, extra=_so_far(filling))


def _so_far(filling: Filling) -> dict[str, Any]:
    return {"added": filling.added} if filling.added else {}
