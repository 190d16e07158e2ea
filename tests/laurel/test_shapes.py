from datetime import UTC, date, datetime
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from laurel.contracts.activity import ReportedActivity
from laurel.contracts.parking import MessageParked
from laurel.shapes import decoder_of, encode, struct_of, trusting_decoder_of
from laurel.values import Attributes, Day, Id, Instant, JsonObject, Name, NotNegative


class Strictly(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Inner(Strictly):
    model_config = ConfigDict(extra="forbid")

    scheme: Name
    count: Annotated[int, Field(gt=0, lt=10)] = 1


class Outer(Strictly):
    id: Id
    at: Instant
    on: Day | None = None
    who: Id | Inner | None = None
    kind: Literal["a", "b"] = "a"
    sure: bool = False
    inners: Annotated[list[Inner], Field(min_length=0, max_length=3)] = Field(default_factory=list)
    attributes: Attributes = Field(default_factory=dict)
    anything: JsonObject = Field(default_factory=dict)
    word: Annotated[str, StringConstraints(pattern=r"^[a-z]+$", max_length=5)] | None = None
    amount: NotNegative = 0


FULL = (
    b'{"id":"x","at":"2026-03-14T09:26:53Z","on":"2026-03-14","who":{"scheme":"card"},"kind":"b","sure":true,'
    b'"inners":[{"scheme":"a","count":9}],"attributes":{"a":1,"b":"c","d":true},"anything":{"e":[1.5,null]},'
    b'"word":"abc","amount":7,"unknown":1}'
)


def plain(value: object) -> object:
    """Return the fields of a Pydantic object or a Struct as plain values, whatever its JSON leaves out."""
    match value:
        case BaseModel():
            return {name: plain(getattr(value, name)) for name in type(value).model_fields}
        case msgspec.Struct():
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        case list():
            return [plain(inner) for inner in value]
        case dict():
            return {key: plain(inner) for key, inner in value.items()}
        case _:
            return value


def test_trusting_decoder_insists_on_an_offset_and_on_nothing_else() -> None:
    decode = trusting_decoder_of(ReportedActivity)
    fine = {"id": "not an id!", "type": "purchase", "member": "m-1", "occurred_at": "2024-03-01T12:00:00Z"}
    assert decode(msgspec.json.encode(fine)).id == "not an id!"
    with pytest.raises(msgspec.ValidationError, match="timezone"):
        decode(msgspec.json.encode({**fine, "occurred_at": "2024-03-01T12:00:00"}))


def test_both_roads_read_the_same() -> None:
    assert plain(decoder_of(Outer).decode(FULL)) == plain(Outer.model_validate_json(FULL))


def test_defaults_are_the_same() -> None:
    body = b'{"id":"x","at":"2026-03-14T09:26:53Z"}'
    first, second = decoder_of(Outer).decode(body), decoder_of(Outer).decode(body)
    assert plain(first) == plain(Outer.model_validate_json(body))
    assert first.inners is not second.inners


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "x\n"},
        {"id": "x\x00"},
        {"id": 5},
        {"id": None},
        {"at": "2026-03-14T09:26:53"},
        {"at": "1700000000"},
        {"at": 1700000000},
        {"on": "2026-03-14T00:00:00Z"},
        {"who": {"scheme": "a", "more": 1}},
        {"who": {"scheme": "a\x00"}},
        {"who": {"scheme": ""}},
        {"who": {}},
        {"who": []},
        {"kind": "c"},
        {"sure": 1},
        {"sure": "true"},
        {"inners": {}},
        {"inners": [{"scheme": "a"}] * 4},
        {"inners": [{"scheme": "a", "count": 0}]},
        {"inners": [{"scheme": "a", "count": 10}]},
        {"attributes": {"a": 1.5}},
        {"attributes": {"a": None}},
        {"attributes": {"a": 10**15 + 1}},
        {"attributes": {"a\x00": 1}},
        {"anything": {"a": ["\x00"]}},
        {"word": "abcdef"},
        {"word": "abc\n"},
        {"word": "a1"},
        {"amount": True},
        {"amount": 1.0},
        {"amount": "1"},
        {"amount": -1},
        {"amount": 10**30},
    ],
)
def test_both_roads_refuse_the_same(changes: dict[str, object]) -> None:
    body = encode({"id": "x", "at": "2026-03-14T09:26:53Z", **changes})
    with pytest.raises(msgspec.ValidationError):
        decoder_of(Outer).decode(body)
    with pytest.raises(ValidationError):
        Outer.model_validate_json(body)


@pytest.mark.parametrize("text", [b'"\\u0000"', b'"a\\u0000"', b'"\\\\\\u0000"'])
def test_the_escape_of_nul_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"U\+0000"):
        decoder_of(Inner).decode(b'{"scheme":' + text + b"}")


def test_what_only_looks_like_the_escape_of_nul_is_text() -> None:
    assert decoder_of(Inner).decode(b'{"scheme":"\\\\u0000"}').scheme == "\\u0000"


@settings(deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_text_is_text_on_both_roads(text: str) -> None:
    body = encode({"scheme": text})
    try:
        expected: object = plain(Inner.model_validate_json(body))
    except ValidationError:
        expected = None
    try:
        found: object = plain(decoder_of(Inner).decode(body))
    except msgspec.ValidationError:
        found = None
    assert found == expected


def test_a_struct_is_frozen_and_built_by_keyword() -> None:
    struct = struct_of(Outer)
    value = struct(id="x", at=datetime(2026, 3, 14, tzinfo=UTC))
    assert struct is struct_of(Outer)
    assert value.amount == 0
    with pytest.raises(AttributeError):
        value.amount = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        struct("x")  # type: ignore[call-arg]
    assert decoder_of(Outer).decode(encode(value)) == value


def test_class_variables_come_along() -> None:
    assert struct_of(MessageParked).TYPE == "message.parked.v1"


def test_json_is_the_same_from_either() -> None:
    model = Outer(id="x", at=datetime(2026, 3, 14, 1, 2, 3, 4, tzinfo=UTC), on=date(2026, 3, 14))
    struct = struct_of(Outer)(id="x", at=model.at, on=model.on)
    assert msgspec.json.decode(encode(model)) == msgspec.json.decode(encode(struct))


def test_a_class_may_leave_its_defaults_out() -> None:
    class Brief(Strictly):
        omits_defaults: ClassVar[bool] = True

        amount: NotNegative = 1
        lines: list[Inner] = Field(default_factory=list)
        word: Name | None = None

    assert encode(decoder_of(Brief).decode(b'{"amount":1,"lines":[],"word":null}')) == b"{}"


@pytest.mark.parametrize("default", ["provider", 1000, -1])
def test_a_default_that_msgspec_would_not_leave_out_is_refused(default: object) -> None:
    class Brief(Strictly):
        omits_defaults: ClassVar[bool] = True

        word: Any = default

    with pytest.raises(TypeError, match=r"Brief\.word"):
        struct_of(Brief)


def test_aliases_are_kept() -> None:
    class Transfer(Strictly):
        giver: Id = Field(alias="from")

    body = b'{"from":"m-1"}'
    assert decoder_of(Transfer).decode(body).giver == "m-1"
    assert encode(decoder_of(Transfer).decode(body)) == body == encode(Transfer.model_validate_json(body))


class _Unsaid(Strictly):
    word: Annotated[str, AfterValidator(str.lower)]


class _Said(Strictly):
    word: Annotated[str, AfterValidator(str.lower), Meta(max_length=5)]


class _OfAField(Strictly):
    word: Name

    @field_validator("word")
    @classmethod
    def lower(cls, word: str) -> str:
        return word.lower()


class _OfAModel(Strictly):
    word: Name

    @model_validator(mode="after")
    def check(self) -> "_OfAModel":
        return self


class _Strange(Strictly):
    words: set[str]


class _Multiple(Strictly):
    count: Annotated[int, Field(multiple_of=3)]


@pytest.mark.parametrize("model", [_Unsaid, _OfAField, _OfAModel, _Strange, _Multiple])
def test_what_msgspec_cannot_check_is_refused_when_the_struct_is_made(model: type[BaseModel]) -> None:
    with pytest.raises(TypeError):
        struct_of(model)


def test_a_validator_beside_its_meta_is_taken_at_its_word() -> None:
    with pytest.raises(msgspec.ValidationError):
        decoder_of(_Said).decode(b'{"word":"abcdef"}')


@pytest.mark.parametrize("body", [b"", b"{", b'{"scheme":"\xff"}', b'{"scheme":"\\ud800"}', b"nope"])
def test_what_is_no_json_is_told_apart(body: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)) as error:
        decoder_of(Inner).decode(body)
    assert not isinstance(error.value, msgspec.ValidationError)
