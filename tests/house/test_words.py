"""What stands in the repository makes sense to a stranger on another machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Put together here, so that this file does not hold them.
FOREIGN = re.compile(
    "|".join(
        [
            r"/wo" + r"rk/",
            r"/ro" + r"ot/(?!\.)",
            r"/ho" + r"me/\w",
            r"py" + r"pi\.org",
            r"re" + r"po1?\.maven",
            r"(this|next|previous|earlier) ses" + r"sion\b",
            r"sub-?ag" + r"ent",
        ]
    ),
    re.IGNORECASE,
)
OTHERS_TEXT = {"LICENSE"}


def tracked() -> list[Path]:
    """What git knows, or would take in."""
    said = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    return [ROOT / name for name in said.split("\0") if name and name not in OTHERS_TEXT]


def test_nothing_speaks_of_another_place() -> None:
    found = []
    for file in tracked():
        try:
            text = file.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        found += [
            f"{file.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if FOREIGN.search(line)
        ]
    assert not found, "\n".join(found)


def test_the_pattern_bites() -> None:
    assert FOREIGN.search("see /wo" + "rk/main/laurel")
    assert FOREIGN.search("in the next ses" + "sion")
    assert not FOREIGN.search("an HTTP session is fine, and so is framework/")


def test_nothing_large_is_committed() -> None:
    large = [
        f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes"
        for file in tracked()
        if file.exists() and file.stat().st_size > 1_000_000
    ]
    assert not large, "\n".join(large)
