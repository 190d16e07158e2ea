"""Resources: seats and rooms of a day, published through redemption, which counts them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request, Response

from laurel.contracts.hashing import body_hash
from laurel.contracts.http_redeeming import PublishResource
from laurel.errors import Fault, Problem
from laurel.io.http import request_id, traceparent
from laurel.program.reward_faults import resource_faults
from laurel.shapes import encode
from services.gateway.answering import answer
from services.gateway.asking import Ask, Stamp
from services.gateway.auditing import noted
from services.gateway.documenting import PREFER, described
from services.gateway.naming import RESOURCE, RequestKey
from services.gateway.passing import path_of
from services.gateway.reading import api_of, body_of, in_program, path_id, query_of, wish_of
from services.gateway.saying import resource_publish_requested
from services.gateway.shown import PendingShown, ResourceShown, ResourceStanding
from services.gateway.store.requests import NewRequest
from services.gateway.wanting import judging_of

if TYPE_CHECKING:
    from laurel.io.saying import Saying

router = APIRouter()

_TAG = "Redeeming"
_PATH = "/v1/programs/{program}/resources/{resource}"


@router.put(
    **described(
        _TAG,
        "Publish a resource",
        path=_PATH,
        answers={200: ResourceShown, 201: ResourceShown, 202: PendingShown},
        problems=(400, 403, 409, 413, 415, 422, 503),
        body=PublishResource,
        headers=PREFER,
    )
)
async def put_resource(request: Request) -> Response:
    """What is said last of a day counts for it. The same of the same days again changes nothing."""
    caller, head = await in_program(request, "admin")
    query_of(request)
    wish = wish_of(request)
    resource = _resource_id(request)
    body: Any = await body_of(request, PublishResource)
    faults = resource_faults(body)
    if body.resource is not None and body.resource != resource:
        faults.append(Fault("/resource", "not_allowed", "The path names another resource"))
    if faults:
        raise Problem("invalid", errors=faults)
    ask = ask_of(head.program, resource, body, traceparent(request))
    note = noted(request, caller, "resource.published", resource, program=head.program, after=encode(body))
    settled = await api_of(request).settler.settle(replace(ask, change=note), wish)
    return answer(
        settled,
        wish,
        location=f"/v1/programs/{head.program}/resources/{resource}",
        pending={"resource": resource},
        instance=request.url.path,
    )


@router.get(
    **described(
        _TAG,
        "Read a resource on a day",
        path=_PATH,
        answers={200: ResourceStanding},
        problems=(403, 422, 503),
        query={"on": "The day, in the program's zone; today unless it is named"},
    )
)
async def get_resource(request: Request) -> Response:
    """How many there are, how many of them are for awards, and what is left of these."""
    _, head = await in_program(request, "read", "redeem")
    query = query_of(request, "on")
    resource = path_id(request, "resource", "resource_unknown")
    api = api_of(request)
    question = {"judging": await judging_of(api, head), "on": day_of(query)}
    answered = await api.redemption.ask(
        "POST",
        path_of("v1", "programs", head.program, "resources", resource, "find"),
        body=msgspec.json.encode(question),
        request_id=request_id(request),
    )
    if answered.status_code == 404:
        raise Problem("resource_unknown")
    return answered


def day_of(query: dict[str, str]) -> date | None:
    """Return the day that a query names."""
    if "on" not in query:
        return None
    try:
        return msgspec.convert(query["on"], date)
    except msgspec.ValidationError:
        fault = Fault("/query/on", "not_a_day", "A day is written YYYY-MM-DD")
        raise Problem("invalid", errors=[fault]) from None


def ask_of(program: str, resource: str, body: Any, trace: str) -> Ask:  # noqa: ANN401  (a Struct made of the class)
    """Return the request that publishes a resource; what is said of other days is another one."""
    document = msgspec.structs.replace(body, resource=resource)
    days = "" if (body.from_, body.until) == (None, None) else f" {body.from_ or ''}..{body.until or ''}"

    def say(stamp: Stamp) -> Saying:
        return resource_publish_requested(stamp, resource, document, trace)

    return Ask(
        NewRequest(RequestKey(program, RESOURCE, "", f"{resource}{days}"), body_hash(document), None), say, waits=True
    )


def _resource_id(request: Request) -> str:
    try:
        return path_id(request, "resource", "resource_unknown")
    except Problem:
        fault = Fault("/path/resource", "bad_format", "This cannot be an id")
        raise Problem("invalid", errors=[fault]) from None
