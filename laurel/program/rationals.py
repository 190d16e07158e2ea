"""Exact fractions as an author writes them: 1, "1/100", "0.05". Never a float."""

import re
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

PART_MAX: Final = 10**9
_WRITTEN = re.compile(r"(?P<whole>[0-9]{1,10})(?:\.(?P<decimals>[0-9]{1,9})|/(?P<denominator>[0-9]{1,10}))?", re.ASCII)


def read_rational(value: object) -> Fraction:
    """Return the fraction that a whole number or a text stands for; it is above zero."""
    if isinstance(value, Fraction):
        return _bounded(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded(Fraction(value))
    if isinstance(value, str) and (found := _WRITTEN.fullmatch(value)):
        if found["denominator"] is not None and int(found["denominator"]) == 0:
            raise PydanticCustomError("out_of_range", "A fraction needs a denominator other than zero")
        return _bounded(Fraction(value))
    raise PydanticCustomError("not_a_fraction", 'A fraction is a whole number or a text such as "1/100" or "0.05"')


def written(value: Fraction) -> int | str:
    """Return a fraction as a document says it: a whole number where it is one, else "n/d"."""
    return value.numerator if value.denominator == 1 else f"{value.numerator}/{value.denominator}"


def _bounded(value: Fraction) -> Fraction:
    if value <= 0:
        raise PydanticCustomError("out_of_range", "A fraction here is above zero")
    if value.numerator > PART_MAX or value.denominator > PART_MAX:
        raise PydanticCustomError("out_of_range", "Neither part of a fraction may exceed 10^9")
    return value


_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": PART_MAX},
        {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,9}|/[0-9]{1,10})?$"},
    ]
}

Rational = Annotated[
    Fraction,
    BeforeValidator(read_rational),
    PlainSerializer(written, return_type=int | str),
    WithJsonSchema(_SCHEMA),
]
"""An exact fraction above zero."""
