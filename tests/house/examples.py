"""How many examples each of the programs has, by the letters that name them."""

from __future__ import annotations

COUNTS = {
    "AA": 10, "MP": 6, "CA": 5, "RB": 7, "CO": 7, "GM": 9, "FD": 8, "TC": 8, "CP": 6, "HT": 8, "BK": 6, "SE": 7,
    "SR": 5, "ME": 12,
}  # fmt: skip
