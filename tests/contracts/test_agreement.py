"""Pydantic and msgspec accept the same and refuse the same, and agree in value, for every event and every body."""

import inspect
import types
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from laurel.contracts import activity, http, http_redeeming
from laurel.contracts.envelope import Body, Event
from laurel.contracts.registry import EVENTS
from laurel.shapes import decoder_of, encode, struct_of

BODIES = [
    model
    for module in (activity, http, http_redeeming)
    for _, model in inspect.getmembers(module, inspect.isclass)
    if issubclass(model, BaseModel) and model.__module__ == module.__name__
]
MODELS: list[type[BaseModel]] = [*(kind.model for kind in EVENTS.values()), *BODIES]

WORDS = st.sampled_from(
    ["a", "m-42", "GBP", "purchase", "acme:1", "", "A B", "x\n", "\x00", "🍓", "x" * 129, "x" * 600]
)
NUMBERS = st.sampled_from([0, 1, -1, 7, 256, 257, 10**15, 10**15 + 1, -(10**15), 2**53 + 1, 2**63, 2**70])
TIMES = st.sampled_from(
    [
        "2026-03-14T09:26:53Z",
        "2026-03-14T09:26:53.123456789+05:30",
        "2026-03-14t09:26:53z",
        "2026-03-14 09:26:53Z",
        "2026-03-14T09:26:53",
        "2026-03-14T09:26:53-0500",
        "2026-03-14T24:00:00Z",
        "2026-03-14T23:59:60Z",
        "2026-03-14",
        "0000-01-01",
        "0001-01-01T00:00:00+14:00",
        "1773480413",
    ]
)
JUNK = st.one_of(
    WORDS, NUMBERS, TIMES, st.none(), st.booleans(), st.just(1.5), st.just(1.0), st.just([]), st.just({}), st.just([{}])
)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Return values that have the right JSON type, most of them right altogether."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values_of(parts[0])
    if origin is not None:
        return values_of_parts(origin, parts)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return documents_of(annotation)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: st.one_of(st.sampled_from(["a", "m-42"]), st.just("GBP"), WORDS),
        int: st.one_of(st.integers(0, 9), NUMBERS),
        bool: st.booleans(),
        datetime: st.one_of(st.just("2026-03-14T09:26:53Z"), TIMES),
        date: st.one_of(st.just("2026-03-14"), TIMES),
        type(None): st.none(),
    }
    return plain[annotation]


def values_of_parts(origin: Any, parts: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if origin is Literal:
        return st.sampled_from(parts)
    if origin in {Union, types.UnionType}:
        return st.one_of([values_of(part) for part in parts])
    if origin is list:
        return st.lists(values_of(parts[0]), max_size=2)
    return st.dictionaries(WORDS, JUNK if parts[1] is Any else values_of(parts[1]), max_size=2)


@cache
def documents_of(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Return documents of a class: some fields may be missing, one may be junk, one may be unknown."""
    fields = {
        field.alias or name: values_of(
            Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        )
        for name, field in model.model_fields.items()
    }
    optional = {field.alias or name for name, field in model.model_fields.items() if not field.is_required()}
    right = st.fixed_dictionaries(
        {name: made for name, made in fields.items() if name not in optional},
        optional={name: fields[name] for name in optional},
    )
    wrong = st.one_of(
        st.just({}),
        st.just({}),
        st.just({}),
        st.dictionaries(st.sampled_from([*fields, "unknown"]), JUNK, min_size=1, max_size=1),
    )
    return st.builds(lambda document, change: {**document, **change}, right, wrong)


def plain(value: object) -> object:
    match value:
        case BaseModel():
            return {name: plain(getattr(value, name)) for name in type(value).model_fields}
        case msgspec.Struct():
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        case list():
            return [plain(inner) for inner in value]
        case dict():
            return {key: plain(inner) for key, inner in value.items()}
        case bool() | int() | float() | str():
            return type(value).__name__, value
        case _:
            return value


def by_pydantic(model: type[BaseModel], body: bytes) -> object:
    try:
        return plain(model.model_validate_json(body))
    except ValidationError:
        return None


def by_msgspec(model: type[BaseModel], body: bytes) -> object:
    try:
        return plain(decoder_of(model).decode(body))
    except msgspec.ValidationError:
        return None


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_both_roads_agree(model: type[BaseModel], data: st.DataObject) -> None:
    body = encode(data.draw(documents_of(model)))
    quick = by_msgspec(model, body)
    assert quick == by_pydantic(model, body)
    if quick is not None:
        again = encode(decoder_of(model).decode(body))
        assert by_msgspec(model, again) == quick == by_pydantic(model, again)
        assert by_msgspec(model, encode(model.model_validate_json(body))) == quick


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_no_text_is_unbounded(model: type[BaseModel]) -> None:
    """Text without a pattern could hold U+0000 on one of the roads."""

    def bare(schema: Any) -> bool:
        if isinstance(schema, list):
            return any(map(bare, schema))
        if not isinstance(schema, dict):
            return False
        if schema.get("type") == "string" and not schema.keys() & {"pattern", "format", "enum", "const"}:
            return True
        return any(bare(inner) for inner in schema.values())

    assert not bare(model.model_json_schema())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_classes_are_frozen_and_strict(model: type[BaseModel]) -> None:
    assert model.model_config["frozen"]
    assert model.model_config["strict"]
    assert model.__doc__
    forbids = model.model_config["extra"] == "forbid"
    assert forbids != (issubclass(model, Event) or model.__name__.startswith("Reported"))
    assert not forbids or issubclass(model, Body) or model.__module__ == http_redeeming.__name__
    assert struct_of(model).__name__ == model.__name__
