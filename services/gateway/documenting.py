"""What the OpenAPI document says of each route, kept beside the route itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from laurel.values import ID_PATTERN, PLAIN_ID_PATTERN
from services.gateway.completing import TAGS, complete
from services.gateway.shown import ProblemShown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

_REF: Final = "#/components/schemas/{model}"
_PLAIN_NAMES: Final = {"program", "partner"}
_PROBLEMS: Final = {
    400: "The request cannot be read",
    401: "The key is missing, wrong, expired or revoked",
    403: "The key lacks the scope for this",
    404: "There is no such thing, or it is not the caller's",
    409: "Refused; `code` says why",
    408: "The body came too slowly",
    410: "What was asked for is no longer kept",
    413: "The body is too large",
    415: "The body's media type is not supported",
    422: "The request is not valid; `errors` names every fault",
    429: "The key called too often; come back after `Retry-After`",
    503: "Too much is waiting, or a part is not available; come back after `Retry-After`",
}
_SUCCESSES: Final = {
    200: "Known already, or read",
    201: "Done",
    202: "Accepted; `Location` shows what becomes of it",
    204: "Done; there is nothing to show",
}
_described: dict[str, type[BaseModel]] = {}


def described(
    tag: str,
    summary: str,
    *,
    path: str,
    answers: Mapping[int, type[BaseModel] | str | None],
    problems: tuple[int, ...] = (),
    body: type[BaseModel] | Mapping[str, Any] | None = None,
    query: Mapping[str, str] = {},
    headers: Mapping[str, str] = {},
    required_headers: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Return the keywords of a route: its path, and what its document says.

    `answers` gives the class of each success, the media type of one that is no JSON, or None for an empty one.
    """
    parameters = [_path_parameter(name) for name in re.findall(r"{(\w+)(?::path)?}", path)]
    parameters += [_parameter("query", name, text) for name, text in query.items()]
    parameters += [
        _parameter("header", name, text, required=name in required_headers) for name, text in headers.items()
    ]
    operation: dict[str, Any] = {"parameters": parameters, "security": [{"key": []}]}
    if body is not None:
        content = {"application/json": {"schema": _ref(body)}} if isinstance(body, type) else dict(body)
        operation["requestBody"] = {"required": True, "content": content}
    always = (401, 404, 429, 503) if body is None else (401, 404, 408, 429, 503)
    return {
        "path": path,
        "tags": [tag],
        "summary": summary,
        "response_model": None,
        "status_code": min(answers),
        "responses": {**_answers(answers), **_problems((*always, *problems))},
        "openapi_extra": operation,
    }


def document(app: FastAPI, description: str) -> dict[str, Any]:
    """Return the OpenAPI document, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary="Points and rewards from declarative programs",
            description=description,
            routes=app.routes,
            openapi_version="3.1.0",
            license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
            servers=[{"url": "/", "description": "The gateway that answers this"}],
        )
        shapes: list[type[BaseModel]] = [*_described.values(), ProblemShown]
        _, definitions = models_json_schema([(shape, "validation") for shape in shapes], ref_template=_REF)
        components = schema.setdefault("components", {})
        # FastAPI's own picture of invalid bodies is not what this API answers.
        components["schemas"] = definitions.get("$defs", {})
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer lk_…`"}
        }
        for path, item in schema["paths"].items():
            for method, operation in item.items():
                complete(operation, _name_of(operation["operationId"], path, method), path, components["schemas"])
        used = {tag for item in schema["paths"].values() for operation in item.values() for tag in operation["tags"]}
        schema["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
        app.openapi_schema = schema
    return app.openapi_schema


def _name_of(given: str, path: str, method: str) -> str:
    """Return the name of the function that answers; FastAPI's own id has the path and the method behind it."""
    return given.removesuffix(re.sub(r"\W", "_", f"{path}_{method}"))


def _ref(model: type[BaseModel]) -> dict[str, str]:
    _described[model.__name__] = model
    return {"$ref": _REF.format(model=model.__name__)}


def _answers(answers: Mapping[int, type[BaseModel] | str | None]) -> dict[int | str, Any]:
    found: dict[int | str, Any] = {}
    for status, shape in answers.items():
        found[status] = {"description": _SUCCESSES[status]}
        if isinstance(shape, str):
            found[status]["content"] = {shape: {"schema": {"type": "string"}}}
        elif shape is not None:
            found[status]["content"] = {"application/json": {"schema": _ref(shape)}}
    return found


def _problems(statuses: tuple[int, ...]) -> dict[int | str, Any]:
    content = {"application/problem+json": {"schema": _ref(ProblemShown)}}
    return {status: {"description": _PROBLEMS[status], "content": content} for status in sorted(set(statuses))}


def _path_parameter(name: str) -> dict[str, Any]:
    pattern = PLAIN_ID_PATTERN if name in _PLAIN_NAMES else ID_PATTERN
    schema = {"type": "integer", "minimum": 1} if name == "version" else {"type": "string", "pattern": pattern}
    return {"in": "path", "name": name, "required": True, "schema": schema}


_PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
    "cursor": {"type": "string", "pattern": "^[A-Za-z0-9._-]*={0,2}$"},
    "Idempotency-Key": {"type": "string", "pattern": '^"[ !#-\\[\\]-~]{1,255}"$', "examples": ['"8e03978e-40d5"']},
    # What is not understood is ignored, so nothing that is sent here is wrong.
    "Prefer": {"type": "string", "examples": ["wait=5"]},
    "Content-Encoding": {"enum": ["gzip", "identity"]},
    "Last-Event-ID": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}


def _parameter(place: str, name: str, text: str, *, required: bool = False) -> dict[str, Any]:
    schema: dict[str, Any] = _PARAMETERS.get(name, {"type": "string"})
    return {"in": place, "name": name, "required": required, "description": text, "schema": schema}


PREFER: Final = {"Prefer": "`wait=N` (seconds, default 5, at most 30) or `respond-async`"}
PAGE: Final = {"limit": "How many rows, 1 to 500", "cursor": "Where to go on, from `next_cursor`"}
PARTNER: Final = {"partner": "Whose it is; only a key with `admin` may name another than its own"}
