"""The rule engine by itself, in one process and without a database: real baskets through the pure domain.

Two things are measured for programs of 3, 40 and 300 rules: what the rules make of a basket, and the whole of a
decision (read the message, decide, move the wallet by the facts). The programs take turns on the same baskets, in
rounds, so that what disturbs one disturbs all; processor time is counted. Afterwards each rule is asked by itself of
some baskets, and must say the same as it did among the others.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import process_time
from typing import Any

import msgspec

from benchmarks.feed import Event, real_baskets
from benchmarks.made_programs import SIZES, program_of
from benchmarks.results import bar
from laurel.contracts.activity import ReportedActivity
from laurel.program import CompiledProgram, ProgramDocument
from laurel.program.loading import load_program
from services.points.deciders import DECIDERS
from services.points.domain.asked import Report
from services.points.domain.facts import MemberEnrolled
from services.points.domain.folding import fold
from services.points.domain.judging import judge
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet
from services.points.testing import FixedPrograms

RATIO_40_MIN = 0.85
RATIO_300_MIN = 0.6
"""What is asked of the whole stage (`points-rules`) is asked of the decision too, which is a part of it."""

_ROUNDS = 6
_PROVED = 200
_decode: Callable[[bytes], Any] = DECIDERS["activity.reported.v1"].decode


@dataclass(slots=True)
class Judged:
    """One program, and the processor time of its rounds."""

    rules: int
    document: ProgramDocument
    program: CompiledProgram
    book: FixedPrograms
    fired: int = 0
    ever_fired: set[str] = field(default_factory=set)
    judging: list[float] = field(default_factory=list)
    deciding: list[float] = field(default_factory=list)


async def run(count: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Measure the programs beside each other on so many baskets."""
    tell(f"reading {count:,} baskets")
    events = list(_spread(count))
    programs = [_judged(rules) for rules in SIZES]
    size = max(1, len(events) // _ROUNDS)
    for start in range(0, size * _ROUNDS, size):
        tell(f"round {start // size + 1} of {_ROUNDS}")
        messages = [event.body for event in events[start : start + size]]
        for each in programs:
            _measure(each, messages)
    tell("asking each rule by itself")
    proved = events[:: max(1, len(events) // _PROVED)]
    faults = [fault for each in programs for fault in disagreements(each.document, proved)]
    few = programs[0]
    return {
        "name": "rules",
        "what": "real baskets through the rule engine, one core",
        "baskets": size * _ROUNDS,
        "programs": [_document(each, size) for each in programs],
        "faults": faults,
        "bars": [
            bar(
                f"a decision with {each.rules} rules, as a share of the rate with {few.rules}",
                statistics.median(a / b for a, b in zip(few.deciding, each.deciding, strict=True)),
                wanted,
            )
            for each, wanted in zip(programs[1:], (RATIO_40_MIN, RATIO_300_MIN), strict=True)
        ],
    }


def _spread(count: int) -> Iterator[Event]:
    """Take baskets from the whole year, so that every offer has its weeks."""
    return islice(real_baskets("any", 150_000), 0, None, max(1, 150_000 // count))


def _judged(rules: int) -> Judged:
    name, written = program_of(rules)
    document = load_program(written, name)
    return Judged(rules, document, CompiledProgram.from_document(document, 1), FixedPrograms(document))


def _measure(each: Judged, messages: Sequence[bytes]) -> None:
    """Let one program have its turn on a round's baskets."""
    activities = [_of(each, message).decoded() for message in messages]
    nobody: dict[str, Any] = {}
    started = process_time()
    judged = [each.program.judge(activity, nobody) for activity in activities]
    each.judging.append(process_time() - started)
    for outcomes in judged:
        fired = [outcome.rule.id for outcome in outcomes if outcome.computed]
        each.fired += len(fired)
        each.ever_fired.update(fired)
    started = process_time()
    for message in messages:
        _decide(each, message)
    each.deciding.append(process_time() - started)


def _of(each: Judged, message: bytes) -> Report:
    asked: Report = _decode(message)
    return msgspec.structs.replace(asked, program=each.program.program)


def _decide(each: Judged, message: bytes) -> None:
    asked = _of(each, message)
    wallet = Wallet(asked.program, asked.member or "")
    fold(wallet, 1, MemberEnrolled(enrolled_at=each.program.effective_from))
    activity = asked.decoded()
    for fact in judge(wallet, asked, Moment(activity.occurred_at, 2, each.book, activity)):
        fold(wallet, 2, fact)


def disagreements(document: ProgramDocument, events: Sequence[Event]) -> list[str]:
    """Ask each rule as the only one of its program; return where it says something else among the others."""
    whole = CompiledProgram.from_document(document, 1)
    activities: list[ReportedActivity] = [_decode(event.body).decoded() for event in events]
    together = [whole.judge(activity, {}) for activity in activities]
    faults = []
    for place, rule in enumerate(document.earning):
        alone = CompiledProgram.from_document(document.model_copy(update={"earning": (rule,)}), 1)
        for activity, outcomes in zip(activities, together, strict=True):
            (one,) = alone.judge(activity, {})
            among = outcomes[place]
            if (one.fired, one.reason, one.computed) != (among.fired, among.reason, among.computed):
                faults.append(f"{document.program}: {rule.rule} of {activity.id}: {among.reason}, alone {one.reason}")
    return faults


def _document(each: Judged, size: int) -> dict[str, Any]:
    count = size * len(each.judging)
    return {
        "rules": each.rules,
        "judged_a_second": round(count / sum(each.judging)),
        "decided_a_second": round(count / sum(each.deciding)),
        "judge_us": round(sum(each.judging) / count * 1e6, 1),
        "decide_us": round(sum(each.deciding) / count * 1e6, 1),
        "fired_a_basket": round(each.fired / count, 2),
        "rules_that_ever_fired": len(each.ever_fired),
    }
