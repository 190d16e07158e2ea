"""Rules of the house: each with a name, the places it holds in, and a reason.

A line is let off by a comment on it, or on the line above: `house: allow <name>`, with the reason beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("laurel/**/*.py", "services/**/*.py", "migrations/**/*.py")
PURE = (
    "laurel/calendars.py",
    "laurel/partnerships.py",
    "laurel/rounding.py",
    "laurel/values.py",
    "laurel/program/*.py",
    "services/*/domain/*.py",
    "services/*/deciders.py",
    "services/*/announcing*.py",
    "services/*/needing.py",
    "services/*/road.py",
)


@dataclass(frozen=True)
class Rule:
    """A pattern that must not occur."""

    name: str
    pattern: str
    why: str
    places: tuple[str, ...]
    bites: str
    """A line that the rule must find."""
    spares: str
    """A line near to it that the rule must not find."""

    def broken_by(self, text: str) -> Iterator[tuple[int, str]]:
        """The lines that break it, numbered."""
        waiver = f"house: allow {self.name}"
        lines = text.splitlines()
        for number, line in enumerate(lines, start=1):
            above = lines[number - 2] if number > 1 else ""
            if re.search(self.pattern, line) and waiver not in line and waiver not in above:
                yield number, line.strip()

    def files(self) -> Iterator[Path]:
        for place in self.places:
            yield from sorted(ROOT.glob(place))


RULES = [
    Rule(
        "no-wait-for",
        r"\basyncio\.wait_for\(",
        "before Python 3.12 it forgets a cancellation that comes together with the answer; asyncio.timeout does not",
        SOURCES,
        bites="        await asyncio.wait_for(consumer.commit(offsets), 5)",
        spares="        async with asyncio.timeout(5):",
    ),
    Rule(
        "no-clock",
        r"\b(datetime|date)\.(now|utcnow|today)\(|\btime\.(time|time_ns|monotonic|perf_counter)\(",
        "time is an argument; domain code reads no clock",
        PURE,
        bites="    at = datetime.now(UTC)",
        spares="    at = message.at",
    ),
    Rule(
        "no-float",
        r"(?<!case )(?<!\| )\bfloat\(|:\s*float\b|->\s*float\b",
        "no float touches an amount",
        PURE,
        bites="def rate(points: int) -> float:",
        spares="        case int() | float():",
    ),
    Rule(
        "no-chance",
        r"\brandom\.|\bsecrets\.|\buuid4\(",
        "a decider gives the same facts each time it runs",
        PURE,
        bites="    hold = uuid4()",
        spares="    hold = message.hold",
    ),
    Rule(
        "portable-sql",
        r"(?i)\bpg_(try_)?advisory|\bpg_notify\b|['\"]\s*(listen|notify)\s+\w"
        r"|\bcreate (or replace )?(trigger|function)\b|\bnextval\(",
        "the road uses nothing that a distributed SQL engine lacks",
        SOURCES,
        bites='    await connection.execute("select pg_advisory_xact_lock($1)")',
        spares="    # Nothing listens here; polling is the truth.",
    ),
    Rule(
        "no-print",
        r"^\s*print\(",
        "services log; only the command line speaks",
        ("laurel/io/**/*.py", "laurel/embedded/**/*.py", "laurel/program/**/*.py", "services/**/*.py"),
        bites='    print("here")',
        spares='    fingerprint("here")',
    ),
    Rule(
        "no-swallowing",
        r"except (Base)?Exception(\s+as\s+\w+)?:\s*(pass|\.\.\.)|except\s*:",
        "an error that nobody looks at is a lie about what happened",
        SOURCES,
        bites="    except Exception: pass",
        spares="    except KeyError:",
    ),
    Rule(
        "no-unfinished",
        r"\b(TODO|FIXME|XXX|HACK)\b",
        "what is not done is an issue, not a comment",
        (*SOURCES, "tests/**/test_*.py", "benchmarks/**/*.py"),
        bites="    # TO" + "DO: later",
        spares="    # what to do later",
    ),
    Rule(
        "no-tests-as-modules",
        r"^\s*(from|import)\s[^#]*\btest_\w",
        "what tests share lies in a module beside them: a test file is nobody's library",
        ("tests/**/*.py", "benchmarks/**/*.py"),
        bites="from tests.gateway.test_keys import bearer, key",
        spares="from tests.gateway.keys import bearer, key  # as test_keys.py does",
    ),
]
