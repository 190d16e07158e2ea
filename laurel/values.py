"""The small values that everything is said in: ids, amounts, currencies, instants, days and plain text.

Each is a type for Pydantic classes. `laurel.shapes` derives the same checks for msgspec, so a wrong value is
refused alike on both roads. A `Meta` beside a Python validator is what msgspec checks in its stead.
"""

from datetime import date, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

AMOUNT_MAX: Final = 10**15
ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}$"
PLAIN_ID_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$"
CURRENCY_PATTERN: Final = r"^[A-Z]{3}$"
NO_NUL_PATTERN: Final = r"^[^\x00]*$"


def contains_nul(value: object) -> bool:
    """Whether any text in a tree of plain values holds U+0000, which Postgres cannot store."""
    match value:
        case str():
            return "\x00" in value
        case dict():
            return any(contains_nul(key) or contains_nul(inner) for key, inner in value.items())
        case list():
            return any(contains_nul(inner) for inner in value)
        case _:
            return False


def _read_instant(value: object) -> object:
    # Text is read by msgspec here, too, so that the two roads cannot differ on what an instant looks like.
    if isinstance(value, str):
        try:
            return msgspec.convert(value, datetime)
        except msgspec.ValidationError:
            raise PydanticCustomError("not_an_instant", "An instant is written as in RFC 3339") from None
    return value


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise PydanticCustomError("naive_time", "An instant needs an offset from UTC")
    return value


def _read_day(value: object) -> object:
    if isinstance(value, str):
        try:
            return msgspec.convert(value, date)
        except msgspec.ValidationError:
            raise PydanticCustomError("not_a_day", "A day is written YYYY-MM-DD") from None
    return value


def _without_nul(value: dict[str, Any]) -> dict[str, Any]:
    if contains_nul(value):
        raise PydanticCustomError("bad_format", "Text must not contain U+0000")
    return value


Id = Annotated[str, Field(pattern=ID_PATTERN)]
ProgramId = Annotated[str, Field(pattern=PLAIN_ID_PATTERN)]
PartnerId = Annotated[str, Field(pattern=PLAIN_ID_PATTERN)]

Amount = Annotated[int, Field(ge=-AMOUNT_MAX, le=AMOUNT_MAX, strict=True)]
"""Money or points in minor units, of either sign."""
NotNegative = Annotated[int, Field(ge=0, le=AMOUNT_MAX, strict=True)]
Positive = Annotated[int, Field(ge=1, le=AMOUNT_MAX, strict=True)]
Version = Annotated[int, Field(ge=0, le=2**53, strict=True)]
"""A counted version or sequence number; 0 says that there is none yet."""

Currency = Annotated[str, Field(pattern=CURRENCY_PATTERN)]
Instant = Annotated[
    datetime,
    BeforeValidator(_read_instant, json_schema_input_type=datetime),
    AfterValidator(_aware),
    Meta(tz=True),
]
"""A moment with an offset; a naive time is refused."""
Day = Annotated[date, BeforeValidator(_read_day, json_schema_input_type=date), Meta()]
"""A date in the program's zone."""

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=NO_NUL_PATTERN)]
"""A short word that is not an id of ours: a category, a kind, a rule."""
ShortText = Annotated[str, Field(max_length=256, pattern=NO_NUL_PATTERN)]
Text = Annotated[str, Field(max_length=4096, pattern=NO_NUL_PATTERN)]
Reference = Annotated[str, Field(min_length=1, max_length=512, pattern=NO_NUL_PATTERN)]
"""An id made of other ids, such as a lot's or a message's."""

Scalar = Amount | ShortText | bool
Attributes = Annotated[dict[Name, Scalar], Field(max_length=100)]
"""What a caller adds in words of its own. Numbers are integers."""
JsonObject = Annotated[dict[str, Any], AfterValidator(_without_nul), Meta()]
