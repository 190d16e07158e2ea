"""Batches: files of activities, and what became of their lines."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from laurel.errors import Fault, Problem
from laurel.io.http import problem_response, unhurried
from services.gateway.batching import GoneError, Intake, Unpacked
from services.gateway.columns import Table, read_mapping
from services.gateway.documenting import PAGE, PARTNER, described
from services.gateway.naming import new_id
from services.gateway.reading import (
    api_of,
    cursor_of,
    in_program,
    limit_of,
    page,
    partner_in_query,
    path_id,
    query_of,
    require_media,
)
from services.gateway.shown import BatchesShown, BatchShown
from services.gateway.store import batches as store
from services.gateway.store.batches import Upload
from services.gateway.told.telling import FREED
from services.gateway.watching import shown_as

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from laurel.io.database import Connection, Database
    from services.gateway.columns import Columns
    from services.gateway.guarding import Caller
    from services.gateway.store.batches import BatchRow
    from services.gateway.store.programs import ProgramHead

router = APIRouter()

_TAG = "Earning"
_PATH = "/v1/programs/{program}/batches"
_BATCH = f"{_PATH}/{{batch}}"
_NDJSON = "application/x-ndjson"
_CSV = "text/csv"
_EVENTS = "text/event-stream"
_OFFSET = "Upload-Offset"
_BODY = {
    _NDJSON: {"schema": {"type": "string", "description": "One activity a line"}},
    _CSV: {"schema": {"type": "string", "description": "A header, then one activity a row, as `mapping` says"}},
}
_NO_LIMIT = 2**62
_ROWS = 500
_BATCH_ID = re.compile(r"b-[0-9a-z]{1,40}")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
_SILENCE_SECONDS = 15.0


@router.post(
    **described(
        _TAG,
        "Send a file of activities",
        path=_PATH,
        answers={202: BatchShown},
        problems=(400, 403, 413, 415, 422, 503),
        body=_BODY,
        query={"mapping": "Of a CSV: JSON that says what its columns mean"},
        headers={"Content-Encoding": "`gzip`, or left out"},
    )
)
async def send_batch(request: Request) -> Response:
    """A bad line never stops the others. A body that breaks off leaves its whole lines, and says 400."""
    caller, head = await in_program(request, "earn")
    query = query_of(request, "mapping")
    media = require_media(request, _NDJSON, _CSV)
    mapping = _mapping(query, media)
    body = unpacked(request)
    api = api_of(request)
    batch = new_id("b")
    upload, table = Upload(new_id("w")), None
    if mapping is not None:
        header = await body.header(api.settings.batch_line_bytes_max, mapping.delimiter)
        table = Table(mapping, header)
        upload = replace(upload, offset=len(header), lines_read=1, mapping=mapping.source, header=header)
    async with api.database.transaction() as connection:
        await store.add(connection, head.program, batch, caller.partner, upload, api.clock())
    return await _receive(request, caller, head, batch, upload, table, body)


@router.get(
    **described(
        _TAG,
        "List files",
        path=_PATH,
        answers={200: BatchesShown},
        problems=(403, 422),
        query={**PARTNER, **PAGE},
    )
)
async def list_batches(request: Request) -> Response:
    """Of one partner, the newest first. A sender whose connection broke before it was told finds its file here."""
    caller, head = await in_program(request, "earn", "read")
    query = query_of(request, "partner", "limit", "cursor")
    partner = partner_in_query(query, caller)
    limit, before = limit_of(query), cursor_of(query)
    if before and _BATCH_ID.fullmatch(before) is None:
        fault = Fault("/query/cursor", "bad_format", "A cursor is given back as it was received")
        raise Problem("invalid", errors=[fault])
    async with api_of(request).database.connection() as connection:
        found = await store.newest(connection, head.program, partner, before, limit)
    data = [shown_as(row, awarded) for row, awarded in found]
    listed = page(data, limit, found[-1][0].batch if found else "")
    return Response(msgspec.json.encode(listed), media_type="application/json")


@router.patch(
    **described(
        _TAG,
        "Send the rest of a file that broke off",
        path=_BATCH,
        answers={202: BatchShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=_BODY,
        headers={
            _OFFSET: "How many bytes of the file, unpacked, were taken: as `HEAD` of the batch says",
            "Content-Encoding": "`gzip`, or left out",
        },
        required_headers=(_OFFSET,),
    )
)
async def resume_batch(request: Request) -> Response:
    """Goes on where whole lines end. Whoever still sends the file on another connection is overtaken."""
    caller, head = await in_program(request, "earn")
    query_of(request)
    name = path_id(request, "batch", "batch_unknown")
    api = api_of(request)
    async with api.database.connection() as connection:
        row = await _found(connection, head.program, name)
    if row.partner != caller.partner:
        raise Problem("batch_unknown")
    require_media(request, _CSV if row.is_csv else _NDJSON)
    offset = _offset(request)
    body = unpacked(request)
    async with api.database.transaction() as connection:
        upload = await store.resume(connection, head.program, name, offset, new_id("w"), api.clock())
        row = await _found(connection, head.program, name)
    if upload is None:
        if row.state != store.RECEIVING and not row.broken:
            raise Problem("upload_complete")
        detail = f"The file was taken up to byte {row.body_offset}."
        raise Problem("offset_mismatch", detail, extra={"offset": row.body_offset})
    table = None
    if upload.mapping is not None and upload.header is not None:
        table = Table(read_mapping(upload.mapping.decode()), upload.header)
    return await _receive(request, caller, head, name, upload, table, body)


@router.head(
    **described(_TAG, "See where a file is to be sent on", path=_BATCH, answers={200: None}, problems=(403, 422))
)
async def head_batch(request: Request) -> Response:
    """`Upload-Offset` counts the bytes of the file, unpacked, up to the end of the last line that was taken."""
    row, _ = await _asked(request)
    return Response(headers={_OFFSET: str(row.body_offset), "Cache-Control": "no-store"})


_SEEN = described(
    _TAG,
    "See how far a file is",
    path=_BATCH,
    answers={200: BatchShown},
    problems=(403, 422),
    headers={"Accept": f"`{_EVENTS}` to be told of each change until the file has ended"},
)
_SEEN["responses"][200]["content"][_EVENTS] = {"schema": {"type": "string"}}


@router.get(**_SEEN)
async def get_batch(request: Request) -> Response:
    """`Upload-Offset` says where a file that broke off is to be sent on."""
    row, _ = await _asked(request)
    if _EVENTS in request.headers.get("accept", ""):
        api = api_of(request)
        may_watch = partial(api.guard.is_good, request.headers.get("authorization"))
        return StreamingResponse(
            _events(api.watching.follow(row.program, row.batch), may_watch),
            media_type=_EVENTS,
            headers={"Cache-Control": "no-store"},
        )
    async with api_of(request).database.connection() as connection:
        shown = await _shown(connection, row)
    headers = {_OFFSET: str(row.body_offset)}
    return Response(msgspec.json.encode(shown), headers=headers, media_type="application/json")


@router.get(
    **described(
        _TAG,
        "Read which lines of a file were rejected or refused",
        path=f"{_BATCH}/errors",
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
        path=f"{_BATCH}/lines",
        answers={200: _NDJSON},
        problems=(403, 422),
    )
)
async def get_lines(request: Request) -> Response:
    row, database = await _asked(request)
    return StreamingResponse(_all_lines(database, row), media_type=_NDJSON)


async def _asked(request: Request) -> tuple[BatchRow, Database]:
    """Return the batch of the path, and where to read on; another partner's answers 404, but to an admin."""
    caller, head = await in_program(request, "earn", "read")
    query_of(request)
    batch = path_id(request, "batch", "batch_unknown")
    database = api_of(request).database
    async with database.connection() as connection:
        row = await _found(connection, head.program, batch)
    if row.partner != caller.partner and not caller.is_admin:
        raise Problem("batch_unknown")
    # What has begun to be told is told to its end, however long that takes.
    return row, database.patient()


async def _found(connection: Connection, program: str, batch: str) -> BatchRow:
    row = await store.find(connection, program, batch)
    if row is None:
        raise Problem("batch_unknown")
    return row


async def _shown(connection: Connection, row: BatchRow) -> dict[str, Any]:
    return shown_as(row, await store.awarded(connection, row.program, row.batch))


async def _receive(
    request: Request,
    caller: Caller,
    head: ProgramHead,
    batch: str,
    upload: Upload,
    table: Table | None,
    body: Unpacked,
) -> Response:
    """Take a file, or the rest of one, and say what was taken."""
    api = api_of(request)
    intake = Intake(
        api.database.patient(),
        api.known.patient(),
        api.clock,
        caller=caller,
        head=head,
        batch=batch,
        upload=upload,
        table=table,
        line_bytes_max=api.settings.batch_line_bytes_max,
        silence_seconds=api.settings.batch_silence_seconds,
        beside_callers=lambda: api.presence.is_near,
        may_send=partial(api.guard.patient().is_good, request.headers.get("authorization")),
    )
    broke = await intake.receive(body)
    async with api.database.connection() as connection:
        row = await _found(connection, head.program, batch)
        shown = await _shown(connection, row)
    headers = {"Location": f"/v1/programs/{head.program}/batches/{batch}", _OFFSET: str(row.body_offset)}
    if broke is not None:
        detail = f"The body broke off: {broke.why}. Its whole lines before that are taken."
        extra = {"batch": batch, "received": shown["received"], "offset": row.body_offset}
        response = problem_response(Problem(broke.code, detail, extra=extra), request.url.path)
        response.headers.update(headers)
        return response
    return Response(msgspec.json.encode(shown), 202, headers, "application/json")


def _mapping(query: dict[str, str], media: str) -> Columns | None:
    """Return the mapping of a CSV; another file has none."""
    said = query.get("mapping")
    if (media == _CSV) != (said is not None):
        detail = "Needed for text/csv, and for nothing else"
        code = "missing" if said is None else "not_allowed"
        raise Problem("invalid", errors=[Fault("/query/mapping", code, detail)])
    return read_mapping(said) if said is not None else None


def _offset(request: Request) -> int:
    given = request.headers.get(_OFFSET, "")
    if _WHOLE.fullmatch(given) is None:
        fault = Fault(f"/header/{_OFFSET}", "missing" if not given else "bad_format", "How many bytes were taken")
        raise Problem("invalid", errors=[fault])
    return int(given)


def unpacked(request: Request) -> Unpacked:
    """Return the body, which may be of any size, as it comes."""
    settings = api_of(request).settings
    request.state.body_bytes_max = _NO_LIMIT
    unhurried(request)
    return Unpacked(
        _body(request),
        packed=_packed(request),
        ratio_max=settings.batch_unpacked_ratio_max,
        silence_seconds=settings.batch_silence_seconds,
    )


async def _events(
    changes: AsyncIterator[dict[str, Any]], may_watch: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """Tell each change; a comment now and then keeps the connection from being taken for dead."""
    following: asyncio.Future[dict[str, Any] | None] | None = None
    try:
        while True:
            if following is None:
                following = asyncio.ensure_future(anext(changes, None))
            done, _ = await asyncio.wait({following}, timeout=_SILENCE_SECONDS)
            if not await may_watch():
                return
            if not done:
                yield b": still here\n\n"
                continue
            shown, following = following.result(), None
            if shown is None:
                return
            yield b"event: progress\ndata: " + msgspec.json.encode(shown) + b"\n\n"
    finally:
        if following is not None:
            following.cancel()


def _packed(request: Request) -> bool:
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip"}:
        raise Problem("unsupported", "A file may be packed with gzip.")
    # Two names of one thing (RFC 9110, section 8.4.1.3).
    return encoding in {"gzip", "x-gzip"}


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
