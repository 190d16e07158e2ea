"""One source of shapes: from a Pydantic class, the msgspec Struct that the hot path decodes into.

The Struct has the same fields, defaults and checks. What cannot be carried over is refused when the Struct is
made, not when the first message arrives.
"""

import types
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, Union, cast, get_args, get_origin

import annotated_types as at
import msgspec
from msgspec import Meta
from pydantic import AfterValidator, BaseModel, BeforeValidator, PlainValidator, Strict, WrapValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from laurel.values import NO_NUL_PATTERN, contains_nul

M = TypeVar("M", bound=BaseModel)

_PLAIN: Final = (str, int, bool, date, datetime, type(None), Any)
_VALIDATORS: Final = (AfterValidator, BeforeValidator, PlainValidator, WrapValidator)
_BOUNDS: Final[dict[type, str]] = {
    at.Ge: "ge",
    at.Gt: "gt",
    at.Le: "le",
    at.Lt: "lt",
    at.MinLen: "min_length",
    at.MaxLen: "max_length",
}
_ENCODER: Final = msgspec.json.Encoder()


def struct_of(model: type[M]) -> type[M]:
    """Return the frozen, keyword-only Struct with the fields of a Pydantic class.

    It is typed as the model, whose fields and class variables it has; nothing else of the model is there. A class with
    extra="forbid" gives a Struct that refuses unknown fields, and one whose `omits_defaults` is true leaves
    what is at its default out of its JSON. Only decoding checks: a Struct built by hand is believed.
    """
    return cast("type[M]", _struct_of(model))


class ShapeDecoder(Generic[M]):
    """Decodes JSON into the Struct of a model.

    Raises msgspec.ValidationError for what does not fit, and msgspec.DecodeError for what is no JSON.
    """

    def __init__(self, model: type[M]) -> None:
        self._decode = msgspec.json.Decoder(_struct_of(model)).decode

    def decode(self, body: bytes) -> M:
        value = self._decode(body)
        # JSON says U+0000 only by this escape: to look for it once is cheaper than a pattern on every text.
        if b"\\u0000" in body and contains_nul(msgspec.to_builtins(value)):
            raise msgspec.ValidationError("Text must not contain U+0000")
        return cast("M", value)


def decoder_of(model: type[M]) -> ShapeDecoder[M]:
    """Return the decoder of a model's Struct, made once."""
    return cast("ShapeDecoder[M]", _decoder_of(model))


def trusting_decoder_of(model: type[M]) -> Callable[[bytes], M]:
    """Return a decoder for what another service of ours wrote: types are checked, bounds and patterns are not.

    They were checked when the gateway let the body in; here they would cost more than all the rest of reading it.
    That an instant has an offset is checked, which costs nothing: one without cannot be compared with any other.
    """
    return cast("Callable[[bytes], M]", msgspec.json.Decoder(_struct_of(model, checked=False)).decode)


def encode(value: object) -> bytes:
    """Return the JSON of a Struct, a Pydantic object or plain values."""
    if isinstance(value, BaseModel):
        return value.model_dump_json(by_alias=True).encode()
    return _ENCODER.encode(value)


@cache
def _decoder_of(model: type[BaseModel]) -> ShapeDecoder[BaseModel]:
    return ShapeDecoder(model)


@cache
def _struct_of(model: type[BaseModel], *, checked: bool = True) -> type[msgspec.Struct]:
    decorators = model.__pydantic_decorators__
    if decorators.field_validators or decorators.model_validators or decorators.validators:
        raise TypeError(f"{model.__name__} has validators of its own, which msgspec cannot carry")
    omits_defaults = bool(getattr(model, "omits_defaults", False))
    fields: list[tuple[str, Any, Any]] = []
    renamed: dict[str, str] = {}
    for name, field in model.model_fields.items():
        where = f"{model.__name__}.{name}"
        if omits_defaults:
            _insist_on_omittable(field, where)
        fields.append((name, _type_of(field.annotation, field.metadata, where, checked=checked), _default(field)))
        if field.alias is not None:
            renamed[name] = field.alias
    return msgspec.defstruct(
        model.__name__,
        fields,
        module=model.__module__,
        frozen=True,
        kw_only=True,
        rename=renamed or None,
        namespace={name: getattr(model, name) for name in model.__class_vars__ if hasattr(model, name)},
        forbid_unknown_fields=model.model_config.get("extra") == "forbid",
        omit_defaults=omits_defaults,
        # They hold plain values and each other, never themselves, so there is nothing for the collector to find.
        gc=False,
    )


def _insist_on_omittable(field: FieldInfo, where: str) -> None:
    """Msgspec leaves out what *is* the default, so a text or a large number that equals it would stay."""
    default = field.default
    if isinstance(default, str) or (type(default) is int and not 0 <= default <= 256):
        raise TypeError(f"{where}: msgspec cannot tell that {default!r} is the default; use None")


def _default(field: FieldInfo) -> object:
    if field.default_factory is not None:
        return msgspec.field(default_factory=cast("Any", field.default_factory))
    if field.default is PydanticUndefined:
        return msgspec.NODEFAULT
    if isinstance(field.default, list | dict) and not field.default:
        return msgspec.field(default_factory=type(field.default))
    if isinstance(field.default, BaseModel):
        shape = _struct_of(type(field.default))
        return msgspec.field(default=msgspec.convert(field.default.model_dump(by_alias=True), shape))
    return msgspec.field(default=field.default)


def _type_of(annotation: object, metadata: Iterable[object], where: str, *, checked: bool) -> Any:  # noqa: ANN401  # a type form
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _type_of(inner, [*more, *metadata], where, checked=checked)
    plain = _plain_type(annotation, where, checked=checked)
    checks = _meta(metadata, where) if checked else _offset(metadata)
    return plain if checks is None else Annotated[plain, checks]


def _plain_type(annotation: object, where: str, *, checked: bool) -> Any:  # noqa: ANN401  # a type form
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal or annotation in _PLAIN:
        return annotation
    if origin in {Union, types.UnionType}:
        return Union[tuple(_type_of(part, (), where, checked=checked) for part in parts)]  # noqa: UP007  # made at run time
    if origin in {list, dict}:
        return cast("Any", origin)[tuple(_type_of(part, (), where, checked=checked) for part in parts)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _struct_of(annotation, checked=checked)
    raise TypeError(f"{where}: {annotation!r} has no counterpart in msgspec")


def _meta(metadata: Iterable[object], where: str) -> Meta | None:
    checks: dict[str, Any] = {}
    validated = False
    for item in _flat(metadata):
        if isinstance(item, Meta):
            return item
        if type(item) in _BOUNDS:
            name = _BOUNDS[type(item)]
            checks[name] = getattr(item, name)
        elif isinstance(item, _VALIDATORS):
            validated = True
        elif isinstance(getattr(item, "pattern", None), str):
            checks.update(_pattern(cast("Any", item).pattern))
        elif not isinstance(item, Strict):
            raise TypeError(f"{where}: {item!r} has no counterpart in msgspec")
    if validated:
        raise TypeError(f"{where}: a validator needs a msgspec Meta that says the same")
    return Meta(**checks) if checks else None


def _offset(metadata: Iterable[object]) -> Meta | None:
    """Return what a trusting decoder still checks."""
    return next((Meta(tz=True) for item in _flat(metadata) if isinstance(item, Meta) and item.tz), None)


def _flat(metadata: Iterable[object]) -> Iterator[object]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from _flat(item.metadata)
        elif isinstance(item, at.GroupedMetadata):
            yield from _flat(item)
        else:
            yield item


def _pattern(pattern: str) -> dict[str, str]:
    if pattern == NO_NUL_PATTERN:
        return {}  # the decoder looks for U+0000 in the whole body
    # Python's `$` also matches before a last newline; Pydantic's does not.
    return {"pattern": pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern}
