from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from laurel.codes import ALPHABET, CHANCES, code_of, read_code, suffix_of

chances = st.integers(min_value=0, max_value=CHANCES - 1)
places = st.integers(min_value=0, max_value=15)


def _plain(code: str) -> str:
    return code.replace("-", "")


@given(chances)
def test_code_reads_back_however_it_is_typed(chance: int) -> None:
    code = code_of(chance)
    assert read_code(code) == code
    assert read_code(_plain(code).lower().replace("0", "o").replace("1", "l")) == code
    assert code.endswith(suffix_of(code))
    assert len(suffix_of(code)) == 4


@given(chances, chances)
def test_other_chances_make_other_codes(one: int, other: int) -> None:
    assume(one != other)
    assert code_of(one) != code_of(other)


@given(chances, places, st.sampled_from(ALPHABET))
def test_one_wrong_character_is_noticed(chance: int, place: int, character: str) -> None:
    plain = _plain(code_of(chance))
    assume(plain[place] != character)
    assert read_code(plain[:place] + character + plain[place + 1 :]) is None


@given(chances, places, places)
def test_two_swapped_characters_are_noticed(chance: int, one: int, other: int) -> None:
    characters = list(_plain(code_of(chance)))
    assume(characters[one] != characters[other])
    characters[one], characters[other] = characters[other], characters[one]
    assert read_code("".join(characters)) is None


@pytest.mark.parametrize("text", ["", "U" * 16, "0" * 15, "0" * 17, "ÄÖÜ", "0000-0000-0000-000*"])
def test_what_cannot_be_a_code_is_none(text: str) -> None:
    assert read_code(text) is None


@pytest.mark.parametrize("chance", [-1, CHANCES])
def test_chance_out_of_range_is_an_error(chance: int) -> None:
    with pytest.raises(ValueError, match="in range"):
        code_of(chance)
