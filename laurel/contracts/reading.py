"""A body of HTTP becomes the Struct of its class, or a problem that names every fault with its pointer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError

from laurel.contracts.dating import are_within, faults_of_times, in_utc
from laurel.errors import Fault, Problem
from laurel.shapes import decoder_of
from laurel.values import NO_NUL_PATTERN

M = TypeVar("M", bound=BaseModel)

_CODES: Final = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "string_too_long": "too_long",
    "too_long": "too_long",
    "string_too_short": "too_short",
    "too_short": "too_short",
    "string_pattern_mismatch": "bad_format",
    "literal_error": "not_one_of",
    "not_an_instant": "not_an_instant",
    "naive_time": "naive_time",
    "not_a_day": "not_a_day",
    "bad_format": "bad_format",
}
_WANTED: Final = {
    "int_type": "an integer",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "datetime_type": "an instant",
    "date_type": "a day",
    "none_required": "null",
}
_NO_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read(model: type[M], body: bytes) -> M:
    """Return the Struct of a body, its instants in UTC; raises the problem `malformed` or `invalid`.

    The quick road decodes. Only a body that it refuses is read again by Pydantic, which finds every fault.
    """
    try:
        value = decoder_of(model).decode(body)
    except msgspec.ValidationError as refusal:
        raise Problem("invalid", errors=_faults(model, _plain(body), str(refusal))) from None
    except _NO_JSON as broken:
        raise _malformed(broken) from None
    if not are_within(model, value):
        raise Problem("invalid", errors=faults_of_times(model, _plain(body)))
    return in_utc(model, value)


def faults_of(errors: Iterable[Mapping[str, Any]], document: object) -> list[Fault]:
    """Return the faults that Pydantic found in a document of plain values, one for each place."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for error in errors:
        pointer = pointer_to(_steps(error["loc"], document, error["type"]))
        found.setdefault(pointer, []).append(error)
    return [
        _fault(pointer, here)
        for pointer, here in found.items()
        # Where one way to read a value fails further inside, that the other ways fail outside says nothing.
        if not any(other.startswith(f"{pointer}/") for other in found)
    ]


def pointer_to(parts: Iterable[object]) -> str:
    """Return the JSON Pointer (RFC 6901) that leads through these keys and positions."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in parts)


def _plain(body: bytes) -> object:
    """Decode all of it: the quick road stops at the first fault, and what follows may be no JSON."""
    try:
        return msgspec.json.decode(body)
    except msgspec.ValidationError as refusal:
        raise Problem("invalid", errors=[Fault("", "out_of_range", str(refusal))]) from None
    except _NO_JSON as broken:
        raise _malformed(broken) from None


def _malformed(broken: Exception) -> Problem:
    if isinstance(broken, RecursionError):
        return Problem("malformed", "The body is nested too deeply")
    return Problem("malformed", f"The body is no JSON: {broken}")


def _faults(model: type[BaseModel], document: object, refusal: str) -> list[Fault]:
    try:
        model.model_validate(document)
    except ValidationError as error:
        return [*faults_of(error.errors(include_url=False), document), *faults_of_times(model, document)]
    return [Fault("", "invalid", refusal)]


def _fault(pointer: str, errors: Sequence[Mapping[str, Any]]) -> Fault:
    """Tell what is wrong at a place by the way to read it that came nearest, or by all ways if none did."""
    for error in errors:
        code = _CODES.get(error["type"])
        if code is not None:
            return Fault(pointer, code, _sentence(code, error))
    wanted = dict.fromkeys(_WANTED.get(error["type"], "of the type wanted") for error in errors)
    return Fault(pointer, "wrong_type", f"This must be {', or '.join(wanted)}")


def _sentence(code: str, error: Mapping[str, Any]) -> str:
    match code:
        case "missing":
            return "This field is required"
        case "unknown_field":
            return "There is no such field"
        case "bad_format" if error.get("ctx", {}).get("pattern") == NO_NUL_PATTERN:
            return "Text must not contain U+0000"
        case _:
            return str(error["msg"])


def _steps(place: Sequence[int | str], document: object, kind: str) -> Iterator[int | str]:
    """Follow a place into the document; what is not in it names a way to read a value, not a step."""
    here: Any = document
    for position, part in enumerate(place):
        if _leads(part, here):
            here = here[part]
        elif kind != "missing" or position < len(place) - 1:
            continue
        yield part


def _leads(part: int | str, here: object) -> bool:
    match here:
        case dict():
            return part in here
        case list():
            return isinstance(part, int) and part < len(here)
        case _:
            return False
