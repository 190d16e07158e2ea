"""Instants and days that callers name lie where they can be reckoned with: years later, at midnight, in any zone.

A clock that was never set says the year 1, and "never" is often said as the year 9999. What is decided from either,
such as the day on which points end, would lie where there are no days.
"""

import types
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin

import msgspec
from pydantic import BaseModel

from laurel.errors import Fault

T = TypeVar("T")

FIRST: Final = datetime(1900, 1, 1, tzinfo=UTC)
END: Final = datetime(9000, 1, 1, tzinfo=UTC)
_SENTENCE: Final = "The years that can be named are 1900 to 8999; for no end the field is left out"

Places = dict[str, "Places"]
"""The fields of a model that hold an instant or a day, or something that does. An empty one holds it itself."""


def is_within(value: date | datetime) -> bool:
    """Say whether an instant or a day can be named."""
    if isinstance(value, datetime):
        return value.tzinfo is None or FIRST <= value < END
    return FIRST.date() <= value < END.date()


def are_within(model: type[BaseModel], value: object) -> bool:
    """Say whether all instants and days in the Struct of a model can be named."""
    return all(_is_fine(places, getattr(value, name)) for name, places in _places_of(model, by_alias=False).items())


def in_utc(model: type[BaseModel], value: T) -> T:
    """Return the Struct of a model with its instants in UTC: what comes of it is said so, whatever zone it came in."""
    changes = {}
    for name in _places_of(model, by_alias=False):
        at = getattr(value, name)
        if isinstance(at, datetime) and at.tzinfo is not UTC:
            changes[name] = at.astimezone(UTC)
    return cast("T", msgspec.structs.replace(cast("msgspec.Struct", value), **changes)) if changes else value


def faults_of_times(model: type[BaseModel], document: object) -> Iterator[Fault]:
    """Yield a fault for each instant and day in a document of plain values that cannot be named."""
    yield from _outside(_places_of(model, by_alias=True), document, "")


def _is_fine(places: Places, value: object) -> bool:
    match value:
        case date():
            return is_within(value)
        case list():
            return all(_is_fine(places, each) for each in value)
        case msgspec.Struct():
            return all(_is_fine(inner, getattr(value, name, None)) for name, inner in places.items())
        case _:
            return True


def _outside(places: Places, value: object, pointer: str) -> Iterator[Fault]:
    match value:
        case list():
            for index, each in enumerate(value):
                yield from _outside(places, each, f"{pointer}/{index}")
        case dict():
            for name, inner in places.items():
                yield from _outside(inner, value.get(name), f"{pointer}/{name}")
        case str() if not places and not _reads_within(value):
            yield Fault(pointer, "out_of_range", _SENTENCE)


def _reads_within(text: str) -> bool:
    """Whether a text is a time that can be named, or none at all, which is somebody else's business."""
    for kind in (datetime, date):
        try:
            return is_within(msgspec.convert(text, kind))
        except msgspec.ValidationError:
            continue
    return True


@cache
def _places_of(model: type[BaseModel], *, by_alias: bool) -> Places:
    found: Places = {}
    for name, field in model.model_fields.items():
        places = _places_in(field.annotation, by_alias=by_alias)
        if places is not None:
            found[(field.alias or name) if by_alias else name] = places
    return found


def _places_in(annotation: Any, *, by_alias: bool) -> Places | None:  # noqa: ANN401 - a type form
    """Return what of a type holds times, None where nothing does."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _places_in(parts[0], by_alias=by_alias)
    if origin in {Union, types.UnionType, list}:
        found = [places for part in parts if (places := _places_in(part, by_alias=by_alias)) is not None]
        return {name: inner for places in found for name, inner in places.items()} if found else None
    if annotation in {datetime, date}:
        return {}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _places_of(annotation, by_alias=by_alias) or None
    return None
