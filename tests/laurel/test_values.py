from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from laurel.values import (
    AMOUNT_MAX,
    Amount,
    Attributes,
    Currency,
    Day,
    Id,
    Instant,
    JsonObject,
    Name,
    NotNegative,
    PartnerId,
    Positive,
    ProgramId,
    ShortText,
    contains_nul,
)


def accepts(kind: Any, value: object) -> bool:  # a type form
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("value", ["a", "till-7-000123", "A.b_c:d~e", "0", "x" * 128])
def test_ids(value: str) -> None:
    assert accepts(Id, value)


@pytest.mark.parametrize("value", ["", "-a", ":a", "a b", "a/b", "ä", "a\n", "x" * 129, "a\x00", 5, None])
def test_what_is_no_id(value: object) -> None:
    assert not accepts(Id, value)


@pytest.mark.parametrize("kind", [ProgramId, PartnerId])
def test_programs_and_partners_have_no_colon(kind: Any) -> None:
    assert accepts(kind, "acme.co-op_1~x")
    assert not accepts(kind, "acme:1")


def test_amounts_have_bounds() -> None:
    assert accepts(Amount, AMOUNT_MAX)
    assert accepts(Amount, -AMOUNT_MAX)
    assert not accepts(Amount, AMOUNT_MAX + 1)
    assert not accepts(Amount, -AMOUNT_MAX - 1)
    assert not accepts(NotNegative, -1)
    assert accepts(NotNegative, 0)
    assert not accepts(Positive, 0)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, 1e3])
@pytest.mark.parametrize("kind", [Amount, NotNegative, Positive])
def test_nothing_is_coerced_to_an_amount(kind: Any, value: object) -> None:
    assert not accepts(kind, value)


def test_currencies() -> None:
    assert accepts(Currency, "GBP")
    for wrong in ("gbp", "GB", "GBPX", "GBP\n", "€"):
        assert not accepts(Currency, wrong)


def test_an_instant_has_an_offset() -> None:
    read = TypeAdapter(Instant).validate_python
    assert read("2026-03-14T09:26:53Z") == datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
    shifted = datetime(2026, 3, 14, 9, 26, 53, tzinfo=timezone(timedelta(hours=1)))
    assert read("2026-03-14T09:26:53+01:00") == shifted
    assert read(shifted) is shifted


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-14T09:26:53",
        "2026-03-14",
        "2026-02-30T09:26:53Z",
        "2026-03-14T09:26Z",
        "1700000000",
        1700000000,
        datetime(2026, 3, 14),  # noqa: DTZ001
        "",
        None,
    ],
)
def test_what_is_no_instant(value: object) -> None:
    assert not accepts(Instant, value)


def test_days() -> None:
    assert TypeAdapter(Day).validate_python("2026-03-14") == date(2026, 3, 14)
    for wrong in ("2026-02-30", "2026-3-14", "2026-03-14T00:00:00Z", 5, ""):
        assert not accepts(Day, wrong)


@pytest.mark.parametrize("kind", [Name, ShortText])
def test_text_has_no_nul_and_an_end(kind: Any) -> None:
    assert accepts(kind, "two\nlines, ünïcödé 🍓")
    assert not accepts(kind, "a\x00b")
    assert not accepts(kind, "x" * 257)


def test_a_name_is_not_empty() -> None:
    assert not accepts(Name, "")
    assert accepts(ShortText, "")


def test_attributes_are_integers_text_and_truths() -> None:
    assert accepts(Attributes, {"miles": 5, "cabin": "economy", "no_show": False})
    unfit: tuple[object, ...] = (1.5, None, [], {}, 10**16, "a\x00")
    for wrong in unfit:
        assert not accepts(Attributes, {"a": wrong})
    assert not accepts(Attributes, {"": 1})
    assert not accepts(Attributes, {str(n): n for n in range(101)})


def test_a_truth_stays_one() -> None:
    read = TypeAdapter(Attributes).validate_python({"a": True, "b": 1})
    assert read["a"] is True
    assert read["b"] == 1
    assert not isinstance(read["b"], bool)


def test_nul_is_found_wherever_it_hides() -> None:
    assert contains_nul({"a": [{"b": "\x00"}]})
    assert contains_nul({"\x00": 1})
    assert not contains_nul({"a": [1, None, True, "\\u0000"]})
    assert not accepts(JsonObject, {"a": [{"b": "\x00"}]})
