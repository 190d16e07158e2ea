from __future__ import annotations

import struct
from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from laurel.codes import ALPHABET, CHANCE_BYTES, code_of, read_code, suffix_of

chances = st.binary(min_size=CHANCE_BYTES, max_size=CHANCE_BYTES)
places = st.integers(min_value=0, max_value=15)


def used(chance: bytes) -> tuple[int, ...]:
    """Return what a code is made of: the lower fifteen bits of each two bytes."""
    return tuple(int.from_bytes(chance[at : at + 2], "little") & 0x7FFF for at in range(0, CHANCE_BYTES, 2))


def _plain(code: str) -> str:
    return code.replace("-", "")


@given(chances)
def test_code_reads_back_however_it_is_typed(chance: bytes) -> None:
    code = code_of(chance)
    assert read_code(code) == code
    assert read_code(_plain(code).lower().replace("0", "o").replace("1", "l")) == code
    assert code.endswith(suffix_of(code))
    assert len(suffix_of(code)) == 4


@given(chances, chances)
def test_other_chances_make_other_codes(one: bytes, other: bytes) -> None:
    assume(used(one) != used(other))
    assert code_of(one) != code_of(other)


@given(chances, places, st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(chance: bytes, place: int, character: str) -> None:
    plain = _plain(code_of(chance))
    assume(plain[place] != character)
    assert read_code(plain[:place] + character + plain[place + 1 :]) is None


@given(chances, places, places)
def test_two_swapped_characters_are_noticed(chance: bytes, one: int, other: int) -> None:
    characters = list(_plain(code_of(chance)))
    assume(characters[one] != characters[other])
    characters[one], characters[other] = characters[other], characters[one]
    assert read_code("".join(characters)) is None


@pytest.mark.parametrize("text", ["", "U" * 16, "0" * 15, "0" * 17, "ÄÖÜ", "0000-0000-0000-000*"])
def test_what_cannot_be_a_code_is_none(text: str) -> None:
    assert read_code(text) is None


@pytest.mark.parametrize("size", [CHANCE_BYTES - 1, CHANCE_BYTES + 1])
def test_chance_is_neither_more_nor_less(size: int) -> None:
    with pytest.raises(struct.error):
        code_of(bytes(size))


def test_every_character_of_a_code_is_as_likely_as_any_other() -> None:
    """Each part of 15 bits gives each text of three characters once: nothing is rounded, nothing left out."""
    for part in range(5):
        seen = Counter(
            code_of(bytes(2 * part) + number.to_bytes(2, "little") + bytes(8 - 2 * part)).replace("-", "")[
                3 * part : 3 * part + 3
            ]
            for number in range(2**15)
        )
        assert len(seen) == 2**15
