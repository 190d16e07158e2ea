"""Batches: files of activities, and what became of their lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from laurel.errors import Problem
from laurel.io.http import problem_response
from services.gateway.batching import GoneError, Intake
from services.gateway.documenting import described
from services.gateway.naming import new_id
from services.gateway.reading import api_of, in_program, path_id, query_of, require_media
from services.gateway.shown import BatchShown
from services.gateway.store import batches as store
from services.gateway.told.telling import FREED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from laurel.io.database import Connection, Database
    from services.gateway.store.batches import BatchRow

router = APIRouter()

_TAG = "Earning"
_PATH = "/v1/programs/{program}/batches"
_NDJSON = "application/x-ndjson"
_BODY = {_NDJSON: {"schema": {"type": "string", "description": "One activity a line"}}}
_NO_LIMIT = 2**62
_ROWS = 500


@router.post(
    **described(
        _TAG,
        "Send a file of activities",
        path=_PATH,
        answers={202: BatchShown},
        problems=(400, 403, 413, 415, 422, 503),
        body=_BODY,
        headers={"Content-Encoding": "`gzip`, or left out"},
    )
)
async def send_batch(request: Request) -> Response:
    """A bad line never stops the others. A body that breaks off leaves its whole lines, and says 400."""
    caller, head = await in_program(request, "earn")
    query_of(request)
    require_media(request, _NDJSON)
    packed = _packed(request)
    api = api_of(request)
    batch = new_id("b")
    request.state.body_bytes_max = _NO_LIMIT
    async with api.database.transaction() as connection:
        await store.add(connection, head.program, batch, caller.partner, api.clock())
    intake = Intake(
        api.database,
        api.known,
        api.clock,
        caller=caller,
        head=head,
        batch=batch,
        line_bytes_max=api.settings.batch_line_bytes_max,
        silence_seconds=api.settings.batch_silence_seconds,
        beside_callers=lambda: api.presence.is_near,
    )
    broke = await intake.receive(_body(request), packed=packed)
    location = f"/v1/programs/{head.program}/batches/{batch}"
    async with api.database.connection() as connection:
        shown = await _shown(connection, await _found(connection, head.program, batch))
    if broke is not None:
        detail = f"The body broke off: {broke}. Its whole lines before that are taken."
        problem = Problem("malformed", detail, extra={"batch": batch, "received": shown["received"]})
        response = problem_response(problem, request.url.path)
        response.headers["Location"] = location
        return response
    return Response(msgspec.json.encode(shown), 202, {"Location": location}, "application/json")


@router.get(
    **described(
        _TAG, "See how far a file is", path=f"{_PATH}/{{batch}}", answers={200: BatchShown}, problems=(403, 422)
    )
)
async def get_batch(request: Request) -> Response:
    row, database = await _asked(request)
    async with database.connection() as connection:
        shown = await _shown(connection, row)
    return Response(msgspec.json.encode(shown), media_type="application/json")


@router.get(
    **described(
        _TAG,
        "Read which lines of a file were rejected or refused",
        path=f"{_PATH}/{{batch}}/errors",
        answers={200: _NDJSON},
        problems=(403, 422),
    )
)
async def get_errors(request: Request) -> Response:
    row, database = await _asked(request)

    async def rows() -> AsyncIterator[bytes]:
        async for fault in _pages(database, row, store.errors):
            yield _error_line(fault)

    return StreamingResponse(rows(), media_type=_NDJSON)


@router.get(
    **described(
        _TAG,
        "Read what became of every line of a file",
        path=f"{_PATH}/{{batch}}/lines",
        answers={200: _NDJSON},
        problems=(403, 422),
    )
)
async def get_lines(request: Request) -> Response:
    row, database = await _asked(request)
    return StreamingResponse(_all_lines(database, row), media_type=_NDJSON)


async def _asked(request: Request) -> tuple[BatchRow, Database]:
    """Return the batch of the path; another partner's answers 404, but to an admin."""
    caller, head = await in_program(request, "earn", "read")
    query_of(request)
    batch = path_id(request, "batch", "batch_unknown")
    database = api_of(request).database
    async with database.connection() as connection:
        row = await _found(connection, head.program, batch)
    if row.partner != caller.partner and not caller.is_admin:
        raise Problem("batch_unknown")
    return row, database


async def _found(connection: Connection, program: str, batch: str) -> BatchRow:
    row = await store.find(connection, program, batch)
    if row is None:
        raise Problem("batch_unknown")
    return row


async def _shown(connection: Connection, row: BatchRow) -> dict[str, Any]:
    return {
        "batch": row.batch,
        "state": row.state,
        "received": row.received,
        "posted": row.posted,
        "refused": row.refused,
        "pending": row.pending,
        "delayed": row.delayed,
        "rejected": row.rejected,
        "duplicate": row.duplicate,
        "awarded": [
            {"unit": unit, "amount": amount} for unit, amount in await store.awarded(connection, row.program, row.batch)
        ],
    }


def _packed(request: Request) -> bool:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip"}:
        raise Problem("unsupported", "A batch may be packed with gzip.")
    return encoding == "gzip"


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            if piece:
                yield piece
    except ClientDisconnect:
        raise GoneError from None


async def _pages(
    database: Database, batch: BatchRow, read: Callable[[Connection, BatchRow, int, int], Any]
) -> AsyncIterator[Sequence[Any]]:
    """Yield rows page by page, so that a large file never stands in memory nor holds a connection."""
    after = 0
    while True:
        async with database.connection() as connection:
            rows = await read(connection, batch, after, _ROWS)
        for row in rows:
            yield row
        if len(rows) < _ROWS:
            return
        after = rows[-1][0]


async def _all_lines(database: Database, batch: BatchRow) -> AsyncIterator[bytes]:
    """Merge the lines that are right with those that are not, in the order of the file."""
    faults = _pages(database, batch, store.errors)
    lines = _pages(database, batch, store.lines)
    fault, line = await anext(faults, None), await anext(lines, None)
    while fault is not None or line is not None:
        if line is None or (fault is not None and fault[0] < line[0]):
            assert fault is not None
            yield _fault_line(fault)
            fault = await anext(faults, None)
        elif fault is not None and fault[0] == line[0]:
            # A line that was right by itself and was rejected or refused later.
            yield _fault_line(fault)
            fault, line = await anext(faults, None), await anext(lines, None)
        else:
            yield _right_line(line)
            line = await anext(lines, None)


def _error_line(fault: Sequence[Any]) -> bytes:
    line, id_, _, status, code, detail, errors = fault
    shown = {
        "line": line,
        "id": id_,
        "status": status,
        "code": code,
        "detail": detail,
        "errors": msgspec.Raw(errors),
    }
    return msgspec.json.encode(shown) + b"\n"


def _fault_line(fault: Sequence[Any]) -> bytes:
    line, id_, state, _, code, _, _ = fault
    return msgspec.json.encode({"line": line, "id": id_, "state": state, "code": code, "awards": []}) + b"\n"


class _Outcome(msgspec.Struct):
    awards: msgspec.Raw = msgspec.Raw(b"[]")


_decode_outcome = msgspec.json.Decoder(_Outcome).decode


def _right_line(row: Sequence[Any]) -> bytes:
    line, id_, state, code, outcome, repeats = row
    shown: dict[str, Any] = {"line": line, "id": id_, "state": "pending", "awards": []}
    if state is not None:
        shown["state"] = "refused" if state == FREED else state
        if code is not None:
            shown["code"] = code
        if outcome is not None:
            shown["awards"] = _decode_outcome(outcome).awards
        if repeats:
            shown["duplicate"] = True
    return msgspec.json.encode(shown) + b"\n"
