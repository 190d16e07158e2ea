"""Voucher codes: fifteen characters of chance and one that checks them, in four groups of four.

The alphabet is Crockford's: no I, L, O or U, so a code can be read out and typed. The check character makes a
weighted sum over the field of 32 elements zero; it catches every single wrong character and every swap of two.
"""

from __future__ import annotations

from functools import cache
from struct import Struct
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CHANCE_BYTES: Final = 10
"""How many random bytes a code is made of: five numbers of 15 bits, of which the highest bit is left out."""

_GROUP = 4
_LENGTH = 16
_VALUES = {character: value for value, character in enumerate(ALPHABET)} | {"O": 0, "I": 1, "L": 1}
_POLYNOMIAL = 0b100101
_PARTS = 5
_PART_BITS = 15
_PART_MASK = (1 << _PART_BITS) - 1
_parts = Struct(f"<{_PARTS}H").unpack


def code_of(chance: bytes) -> str:
    """Return the code that belongs to so many random bytes; each code is as likely as any other."""
    texts, first, second, third, fourth, fifth = _tables()
    a, b, c, d, e = (part & _PART_MASK for part in _parts(chance))
    check = first[a] ^ second[b] ^ third[c] ^ fourth[d] ^ fifth[e]
    text = texts[a] + texts[b] + texts[c] + texts[d] + texts[e] + ALPHABET[check]
    return f"{text[:4]}-{text[4:8]}-{text[8:12]}-{text[12:]}"


def read_code(text: str) -> str | None:
    """Return a code as it was printed, however it was typed; None if it cannot be one."""
    plain = text.replace("-", "").replace(" ", "").upper()
    values = [_VALUES.get(character, -1) for character in plain]
    if len(values) != _LENGTH or min(values) < 0 or _check(values[:-1]) != values[-1]:
        return None
    plain = "".join(ALPHABET[value] for value in values)
    return "-".join(plain[start : start + _GROUP] for start in range(0, _LENGTH, _GROUP))


def looks_like_a_code(text: str) -> bool:
    """Say whether it is written like one of our codes, with or without a right check character."""
    plain = text.replace("-", "").replace(" ", "").upper()
    return len(plain) == _LENGTH and all(character in _VALUES for character in plain)


def suffix_of(code: str) -> str:
    """Return the end of a code by which people tell vouchers apart; it tells nobody the rest."""
    return code[-_GROUP:]


def _check(values: list[int]) -> int:
    """Return the sum of the values, each times another power of 2 in the field."""
    total = 0
    for place, value in enumerate(values):
        total ^= _WEIGHED[place][value]
    return total


def _times(left: int, right: int) -> int:
    """Multiply in GF(32)."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        left <<= 1
        if left & 32:
            left ^= _POLYNOMIAL
        right >>= 1
    return product


def _weighed() -> tuple[tuple[int, ...], ...]:
    """Return, for each place, what each value counts there."""
    weights = [2]
    while len(weights) < _LENGTH - 1:
        weights.append(_times(weights[-1], 2))
    return tuple(tuple(_times(value, weight) for value in range(len(ALPHABET))) for weight in weights)


_WEIGHED: Final = _weighed()


@cache
def _tables() -> tuple[tuple[str, ...], bytes, bytes, bytes, bytes, bytes]:
    """Return the three characters of each number of 15 bits, and what they count in each of the five parts.

    A statement makes codes by the million, and three characters at a time are a third of the work.
    """
    pairs = [first + second for first in ALPHABET for second in ALPHABET]
    texts = tuple(pair + third for pair in pairs for third in ALPHABET)
    checks = []
    for part in range(_PARTS):
        first, second, third = _WEIGHED[3 * part : 3 * part + 3]
        two = [a ^ b for a in first for b in second]
        checks.append(bytes(pair ^ c for pair in two for c in third))
    return texts, checks[0], checks[1], checks[2], checks[3], checks[4]
