"""What the OpenAPI document says of every operation alike: names, scopes, codes, headers, examples, what leads on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from laurel.errors import PROBLEMS
from services.gateway.exemplifying import FILE, PROGRAM, VALUES, example_of, problem_example
from services.gateway.promising import PROMISES, Promise

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

TAGS: Final = {
    "Programs": "Program documents, their versions, and the clocks of sandboxes.",
    "Partners": "Partners, and the terms on which they take part in a program.",
    "Keys": "What callers show to be let in.",
    "Members": "Who takes part, what they are found by, what they have and why.",
    "Earning": "Activities and returns, one at a time or as files, and what they would earn.",
    "Wallet": "Points set aside, adjusted, given and exchanged.",
    "Redeeming": "Rewards, redemptions and vouchers.",
    "Events": "What happens, as it happens.",
    "Webhooks": "Where events are sent to, and what became of each.",
    "Exports": "Rows of the services that hold them, for whoever starts from nothing.",
    "Audit": "Who changed what.",
    "Reports": "What is outstanding, and who owes whom.",
}

_ALWAYS: Final[dict[int, tuple[str, ...]]] = {
    400: ("malformed",),
    401: ("unauthenticated",),
    403: ("scope_missing",),
    408: ("too_slow",),
    413: ("too_large",),
    415: ("unsupported",),
    422: ("invalid",),
    429: ("rate_limited",),
    503: ("overloaded", "unavailable"),
}
"""Which codes a status has wherever an operation may answer with it."""

_TEXTS: Final[dict[str, Any]] = {
    "application/x-ndjson": FILE,
    "text/csv": "till,when,total,customer\n7-000123,2026-03-14T09:26:53Z,4730,m-42\n",
    # What is JSON is YAML.
    "application/yaml": json.dumps(PROGRAM, indent=2),
    "text/event-stream": 'id: 17\nevent: points.awarded.v1\ndata: {"type": "points.awarded.v1", …}\n\n',
}
_HEADERS: Final = {
    "X-Request-Id": "The id of this request: the caller's own, if it sent a good one",
    "Location": "Where to look at what was made, or at what becomes of it",
    "Preference-Applied": "How long was waited, or that nobody waited",
    "Idempotency-Replayed": "`true`: the same request was made before, and this is what came of it",
    "Retry-After": "After how many seconds to come back",
    "WWW-Authenticate": "`Bearer`",
}
_IDS: Final = {
    "hold": "hold", "adjustment": "adjustment", "transfer": "transfer", "exchange": "exchange",
    "redemption": "redemption", "member": "member", "activity": "id", "batch": "batch", "merge": "merge",
    "unmerge": "unmerge", "match": "match", "household": "household", "reward": "reward",
}  # fmt: skip
"""Path parameters, and the field of an answer that has them."""
_LINKS: Final = {
    "report_activity": ("get_activity",),
    "enrol_member": ("get_member", "close_member", "get_statement", "get_lots", "get_decisions", "export_member"),
    "place_hold": ("get_hold", "capture_hold", "release_hold", "cancel_hold"),
    "adjust_points": ("get_adjustment", "approve_adjustment", "reject_adjustment"),
    "transfer_points": ("get_transfer",),
    "exchange_points": ("get_exchange",),
    "redeem": ("get_redemption",),
    "put_household": ("get_household",),
    "put_reward": ("get_reward",),
}
"""Which operations go on with what an operation has made."""
_PARAMETERS: Final = {"get_statement": "member", "get_lots": "member", "get_decisions": "member",
                      "export_member": "member", "close_member": "member"}  # fmt: skip


def complete(operation: dict[str, Any], name: str, path: str, shapes: Mapping[str, Any]) -> None:
    """Say what was left to be said of an operation; what its route says itself stands."""
    promise = PROMISES.get(name, Promise(()))
    operation["operationId"] = name
    if promise.scopes:
        scopes = dict.fromkeys((*promise.scopes, *(("admin",) if "read" in promise.scopes else ())))
        operation["security"] = [{"key": [scope]} for scope in scopes]
    operation.setdefault("description", _shown_by(operation, shapes))
    if promise.may_lack_body:
        operation["requestBody"]["required"] = False
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        _exemplify(content, media, shapes, whole=False)
    asked = {each["name"] for each in operation.get("parameters", ())}
    for status, response in operation["responses"].items():
        _complete_response(response, int(status), path, asked, promise, shapes)
    _link(operation, name, path)


def _shown_by(operation: dict[str, Any], shapes: Mapping[str, Any]) -> str:
    """Return what is said of what an operation answers: enough of one that only reads."""
    schema = operation["responses"].get("200", {}).get("content", {}).get(JSON, {}).get("schema", {})
    shape = shapes.get(schema.get("$ref", "").rpartition("/")[2], {})
    return str(shape.get("description") or f"{operation['summary']}.")


def _exemplify(content: dict[str, Any], media: str, shapes: Mapping[str, Any], *, whole: bool) -> None:
    if "example" in content or "examples" in content:
        return
    if media in {JSON, PROBLEM}:
        found = example_of(content["schema"], shapes, whole=whole)
        # A document without a shape of its own is a program.
        content["example"] = found if found != {} or "$ref" in content["schema"] else PROGRAM
    elif media in _TEXTS:
        content["example"] = _TEXTS[media]


def _complete_response(
    response: dict[str, Any],
    status: int,
    path: str,
    asked: set[str],
    promise: Promise,
    shapes: Mapping[str, Any],
) -> None:
    headers = ["X-Request-Id"]
    if status in {201, 202}:
        headers.append("Location")
    if status < 300 and "Prefer" in asked:
        headers.append("Preference-Applied")
    if status == 200 and asked & {"Prefer", "Idempotency-Key"}:
        headers.append("Idempotency-Replayed")
    if status in {429, 503}:
        headers.append("Retry-After")
    if status == 401:
        headers.append("WWW-Authenticate")
    if status < 300 and all(content.get("schema") == {} for content in response.get("content", {}).values()):
        # Nothing is shown, which FastAPI describes as anything at all.
        response.pop("content", None)
    shown = {each: {"description": _HEADERS[each], "schema": {"type": "string"}} for each in headers}
    response["headers"] = {**shown, **response.get("headers", {})}
    for media, content in response.get("content", {}).items():
        if media == PROBLEM:
            codes = codes_of(status, path, asked, promise)
            content["schema"] = {**content["schema"], "properties": {"code": {"enum": codes}}}
            content["examples"] = {code: problem_example(code, _filled(path)) for code in codes}
        else:
            _exemplify(content, media, shapes, whole=True)


def codes_of(status: int, path: str, asked: set[str], promise: Promise) -> list[str]:
    """Return the codes that an operation may answer a status with, in the order of the alphabet."""
    found = {*_ALWAYS.get(status, ()), *(code for code in promise.codes if PROBLEMS[code].status == status)}
    if status == 400 and "Idempotency-Key" in asked:
        found.add("idempotency_key_missing")
    if status == 404:
        found |= {"program_unknown"} if "{program}" in path else set()
        found |= {"partner_unknown"} if "{partner}" in path else set()
        found |= set() if found else {"not_found"}
    if status == 422 and "Prefer" in asked:
        found.add("idempotency_mismatch")
    if status == 503 and "{program}" in path:
        found.add("clock_running")
    if status == 409 and not found:
        found.add("in_progress")
    return sorted(found)


def _filled(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda one: str(VALUES.get(one[1], one[1])), path)


def _link(operation: dict[str, Any], name: str, path: str) -> None:
    """Lead on to what can be done with what was made; the program stays the one of the path."""
    for target in _LINKS.get(name, ()):
        made = _PARAMETERS.get(target) or target.partition("_")[2]
        source = "$request.path." + made if "{" + made + "}" in path else "$response.body#/" + _IDS[made]
        link = {"operationId": target, "parameters": {"program": "$request.path.program", made: source}}
        for status in ("200", "201"):
            if status in operation["responses"]:
                operation["responses"][status].setdefault("links", {})[target] = link
