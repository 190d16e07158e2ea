"""The programs whose cases are played, on paper, on the road and through the doors: shipped ones and those of tests."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "programs"
TRIED = Path(__file__).parents[1] / "programs"


def files_in(*places: Path) -> list[Path]:
    """Return the program files of some places, in the order of their names."""
    found = (path for place in places for path in place.glob("*.yaml"))
    return sorted(path for path in found if not path.name.endswith((".cases.yaml", ".rewards.yaml")))


PLAYED = files_in(SHIPPED, TRIED)
"""All of them."""
NAMES = [file.stem for file in PLAYED]
"""What their programs are called, in the same order."""


def file_of(program: str) -> Path:
    """Return where a program lies."""
    return next(path for path in PLAYED if path.stem == program)
