"""Where a document is wrong: the error that carries every fault at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.contracts.reading import pointer_to
from laurel.errors import Fault, LaurelError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails


class ProgramFaults(LaurelError):  # noqa: N818  # a list of faults, named for what it carries
    """A document that cannot be a program. `faults` names everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer or '/'}: {fault.detail}" for fault in self.faults))

    def problem(self) -> Problem:
        """Tell it as the problem that a caller who publishes the document gets."""
        return Problem("invalid", "The program document is not valid", errors=self.faults)


def faults_of(error: ValidationError, document: object) -> list[Fault]:
    """Turn what Pydantic found into faults that point into the document as it was written."""
    found = error.errors(include_url=False)
    places = [item["loc"] for item in found]
    return [
        Fault(pointer_to(_written(item["loc"], document)), _code(item["type"]), _detail(item))
        for item in found
        if not (item["type"] == "too_short" and _has_deeper(item["loc"], places))
    ]


def _has_deeper(place: tuple[str | int, ...], places: Sequence[tuple[str | int, ...]]) -> bool:
    # Pydantic counts only the items that are right, so a list whose only item is wrong is also called too short.
    return any(len(other) > len(place) and other[: len(place)] == place for other in places)


_CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "string_pattern_mismatch": "bad_format",
    "string_type": "wrong_type",
    "int_type": "wrong_type",
    "int_from_float": "wrong_type",
    "bool_type": "wrong_type",
    "dict_type": "wrong_type",
    "tuple_type": "wrong_type",
    "list_type": "wrong_type",
    "model_type": "wrong_type",
    "datetime_type": "wrong_type",
    "model_attributes_type": "wrong_type",
    "literal_error": "not_one_of",
    "union_tag_invalid": "not_one_of",
    "union_tag_not_found": "missing",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
    "too_short": "too_short",
    "too_long": "too_long",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
}


def _code(kind: str) -> str:
    return _CODES.get(kind, kind)


def _detail(found: ErrorDetails) -> str:
    if found["type"] == "extra_forbidden":
        return "There is no such field"
    if found["type"] == "missing":
        return "This field is required"
    if found["type"] == "union_tag_not_found":
        return "kind is missing"
    return str(found["msg"])


def _written(steps: Sequence[str | int], document: object) -> list[str | int]:
    """Leave out what Pydantic adds to a path, such as the tag of a union: only written keys and positions stay."""
    path: list[str | int] = []
    here = document
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        if isinstance(here, dict) and (step in here or last):
            path.append(step)
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            path.append(step)
            here = here[step]
        elif step == "[key]":
            break
    return path
