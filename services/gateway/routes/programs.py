"""Programs: published, read, checked."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.errors import Problem
from laurel.io.http import request_id, traceparent
from laurel.program.changing import touched
from laurel.program.document import ProgramDocument
from laurel.program.loading import dump_program
from services.gateway.auditing import noted
from services.gateway.documenting import PAGE, described
from services.gateway.passing import path_of
from services.gateway.publishing import check_change, publish, read_document
from services.gateway.reading import (
    api_of,
    caller_of,
    cursor_of,
    in_program,
    limit_of,
    page,
    path_name,
    query_of,
    require_media,
    require_plain,
)
from services.gateway.shown import ProgramDetails, ProgramShown, ValidShown, VersionsShown
from services.gateway.store import programs as store
from services.gateway.store.programs import VersionRow

router = APIRouter()

_TAG = "Programs"
_PATH = "/v1/programs/{program}"
_SYNTAX: dict[str, Literal["json", "yaml"]] = {"application/json": "json", "application/yaml": "yaml"}
_BODY = {
    "application/json": {"schema": {"type": "object"}},
    "application/yaml": {"schema": {"type": "string"}},
}
_VERSION = re.compile(r"[1-9][0-9]{0,8}")


@router.put(
    **described(
        _TAG,
        "Publish a program document",
        path=_PATH,
        answers={200: ProgramShown, 201: ProgramShown},
        problems=(400, 403, 409, 413, 415, 422),
        body=_BODY,
    )
)
async def put_program(request: Request) -> Response:
    """Versions are immutable. The same content as the newest version's changes nothing."""
    caller = await caller_of(request)
    query_of(request)
    program = path_name(request, "program")
    if not caller.sees_program(program):
        raise Problem("program_unknown")
    caller.require("admin")
    api = api_of(request)
    document = await _document(request, program)
    note = noted(request, caller, "program.published", document.program, program=document.program)
    publication = await publish(api.unit, document, api.clock, traceparent(request), change=note)
    api.known.forget_program(program)
    return _json(publication.shown(), 201 if publication.is_new else 200)


@router.post(
    **described(
        _TAG,
        "Check a program document without publishing it",
        path=f"{_PATH}/validate",
        answers={200: ValidShown},
        problems=(400, 403, 413, 415, 422),
        body=_BODY,
    )
)
async def validate_program(request: Request) -> Response:
    """The same checks as publishing; the program need not exist yet.

    Where it does, it is also told how many members and open lots a change of expiry or tiers speaks of.
    """
    caller = await caller_of(request)
    query_of(request)
    program = path_name(request, "program")
    if not caller.sees_program(program):
        raise Problem("program_unknown")
    caller.require("admin")
    document = await _document(request, program)
    shown = {"program": program, "valid": True, "effective_from": document.effective_from}
    return _json({**shown, **await _touched(request, program, document)})


async def _touched(request: Request, program: str, document: ProgramDocument) -> dict[str, Any]:
    """Compare with the newest version; points counts the lots and members that the change speaks of."""
    api = api_of(request)
    async with api.database.connection() as connection:
        head = (await store.heads(connection, [program])).get(program)
        newest = await store.version(connection, program, head.version) if head is not None else None
    if newest is None:
        return {"changed": [], "applies": {}, "members": 0, "lots": 0}
    plain = dump_program(document)
    check_change(newest, plain)
    found = touched(msgspec.json.decode(newest.document), plain)
    counts = {"members": 0, "lots": 0}
    if found.pointers:
        body = msgspec.json.encode(
            {"units": found.units, "rules": found.rules, "own": found.own, "everybody": found.tiers}
        )
        path = path_of("v1", "programs", program, "touched")
        answered = await api.points.ask("POST", path, body=body, request_id=request_id(request))
        counts = msgspec.json.decode(answered.body)
    applies = dict(zip(found.pointers, found.applies, strict=True))
    return {
        "changed": list(found.pointers), "applies": applies, "members": counts["members"], "lots": counts["lots"],
    }  # fmt: skip


@router.get(**described(_TAG, "Read a program", path=_PATH, answers={200: ProgramDetails}, problems=(422,)))
async def get_program(request: Request) -> Response:
    """The version in force now; before the first one, the first."""
    _, head = await in_program(request)
    query_of(request)
    api = api_of(request)
    async with api.database.connection() as connection:
        # Another instance may have turned the clock a moment ago.
        head = (await store.heads(connection, [head.program]))[head.program]
        now = (head.as_of if head.is_manual else None) or api.clock()
        row = await store.in_force(connection, head.program, now)
    assert row is not None
    return _json(_details(row))


@router.get(
    **described(
        _TAG,
        "List the versions of a program",
        path=f"{_PATH}/versions",
        answers={200: VersionsShown},
        problems=(422,),
        query=PAGE,
    )
)
async def get_versions(request: Request) -> Response:
    _, head = await in_program(request)
    query = query_of(request, "limit", "cursor")
    limit = limit_of(query)
    cursor = cursor_of(query)
    after = int(cursor) if _VERSION.fullmatch(cursor) else 0
    async with api_of(request).database.connection() as connection:
        rows = await store.versions(connection, head.program, after, limit)
    data = [_shown(row) for row in rows]
    return _json(page(data, limit, rows[-1].version if rows else ""))


@router.get(
    **described(
        _TAG, "Read one version", path=f"{_PATH}/versions/{{version}}", answers={200: ProgramDetails}, problems=(422,)
    )
)
async def get_version(request: Request) -> Response:
    _, head = await in_program(request)
    query_of(request)
    number = request.path_params["version"]
    if _VERSION.fullmatch(number) is None:
        raise Problem("not_found")
    async with api_of(request).database.connection() as connection:
        row = await store.version(connection, head.program, int(number))
    if row is None:
        raise Problem("not_found")
    return _json(_details(row))


async def _document(request: Request, program: str) -> ProgramDocument:
    syntax = _SYNTAX[require_media(request, *_SYNTAX)]
    require_plain(request)
    return read_document(await request.body(), program, syntax)


def _shown(row: VersionRow) -> dict[str, Any]:
    return {
        "program": row.program,
        "version": row.version,
        "effective_from": row.effective_from,
        "published_at": row.published_at,
    }


def _details(row: VersionRow) -> dict[str, Any]:
    return {**_shown(row), "document": msgspec.Raw(row.document)}


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
