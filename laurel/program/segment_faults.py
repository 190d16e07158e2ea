"""What is wrong with segments, and with rules that are for some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from laurel.contracts.reading import pointer_to
from laurel.errors import Fault

if TYPE_CHECKING:
    from laurel.program.document import Rule, Segment, SegmentRank, SegmentSum, Unit

_Found = tuple[tuple[str | int, ...], str, str]


def rule_segment_faults(rule: Rule, names: Sequence[str]) -> Iterator[_Found]:
    """Yield what is wrong with the segments that a rule is for."""
    for position, name in enumerate(rule.segments):
        if name in rule.segments[:position]:
            yield ("segments", position), "repeated", f"{name} is named twice"
        elif name not in names:
            yield ("segments", position), "unknown_reference", f"there is no segment {name} under segments"


def segment_faults(
    program: str | None,
    segments: Mapping[int, Segment],
    names: Sequence[str],
    units: Mapping[str, Unit | None] | None,
) -> Iterator[Fault]:
    """Yield what is wrong with segments, in document order."""
    for index, segment in segments.items():
        found = chain(_segment(index, segment, segments, names, units), _over(segment.rank, program))
        for path, code, detail in found:
            yield Fault(pointer_to(("segments", index, *path)), code, detail)


def _segment(
    index: int,
    segment: Segment,
    segments: Mapping[int, Segment],
    names: Sequence[str],
    units: Mapping[str, Unit | None] | None,
) -> Iterator[_Found]:
    for place, other in segments.items():
        if place < index and other.segment == segment.segment:
            yield ("segment",), "repeated", f"segments/{place} has this name already"
            break
    yield from _measure(segment)
    for key, measure in (("sum", segment.sum), ("rank", segment.rank)):
        # What another program counts is not known here; it is looked at when it is judged.
        if measure is not None and (measure is not segment.rank or measure.over is None):
            yield from _unit(key, measure, units)
    if segment.sum is not None:
        yield from _window(segment.sum)
    if segment.rank is not None:
        yield from _shares(segment.rank)
    if segment.judged is not None and segment.judged.on is not None and segment.judged.every != "week":
        yield ("judged", "on"), "not_allowed", "only weeks are judged on a day that is chosen"
    for position, name in enumerate(segment.excludes):
        yield from _named(("excludes", position), name, segment, names)
    if segment.joins is not None:
        yield from _joins(segment, names)


def _measure(segment: Segment) -> Iterator[_Found]:
    said = [key for key in ("sum", "rank") if getattr(segment, key) is not None]
    if not said and segment.joins is None:
        yield (), "missing", "a segment needs one of sum, rank and joins"
    for extra in said[1:]:
        yield (extra,), "not_allowed", f"a segment has one of sum and rank; this one has {said[0]}"
    if said and segment.judged is None:
        yield ("judged",), "missing", "a sum or a rank is judged at some time"
    if not said and segment.judged is not None:
        yield ("judged",), "not_allowed", "there is nothing to judge by"
    if not said and segment.excludes:
        yield ("excludes",), "not_allowed", "nobody is taken in who did not join"


def _unit(key: str, measure: SegmentSum | SegmentRank, units: Mapping[str, Unit | None] | None) -> Iterator[_Found]:
    if units is None:
        return
    unit = units.get(measure.unit)
    if measure.unit not in units:
        yield (key, "unit"), "unknown_reference", f"there is no unit {measure.unit} under units"
    elif unit is not None and not unit.counts_only:
        yield (key, "unit"), "not_allowed", f"{measure.unit} is points; a segment goes by what counts_only"


def _over(rank: SegmentRank | None, program: str | None) -> Iterator[_Found]:
    if rank is not None and rank.over is not None and rank.over == program:
        yield ("rank", "over"), "not_allowed", "this is the program itself; its own members are ranked without over"


def _window(summed: SegmentSum) -> Iterator[_Found]:
    said = [key for key in ("weeks", "months", "days") if getattr(summed, key) is not None]
    if not said:
        yield ("sum",), "missing", "a sum needs one of weeks, months and days"
    for extra in said[1:]:
        yield ("sum", extra), "not_allowed", "a sum has one of weeks, months and days"


def _shares(rank: SegmentRank) -> Iterator[_Found]:
    if rank.top is None and rank.keeps is None:
        yield ("rank",), "missing", "a rank needs one of top and keeps, or both"
    for key, share in (("top", rank.top), ("keeps", rank.keeps)):
        if share is not None and not 0 < share <= 100:
            yield ("rank", key), "out_of_range", "a share of members is more than 0 and at most 100 percent"
    if rank.top is not None and rank.keeps is not None and rank.keeps < rank.top:
        yield ("rank", "keeps"), "out_of_order", "who was just taken in would have to leave"


def _named(path: tuple[str | int, ...], name: str, segment: Segment, names: Sequence[str]) -> Iterator[_Found]:
    if name == segment.segment:
        yield path, "not_allowed", "this is the segment itself"
    elif name not in names:
        yield path, "unknown_reference", f"there is no segment {name} under segments"


def _joins(segment: Segment, names: Sequence[str]) -> Iterator[_Found]:
    joins = segment.joins
    assert joins is not None
    for position, name in enumerate(joins.on):
        if name in joins.on[:position]:
            yield ("joins", "on", position), "repeated", f"{name} is named twice"
        elif name == "return":
            yield ("joins", "on", position), "not_allowed", "a return takes back, nobody joins by it"
    if joins.from_ is not None:
        yield from _named(("joins", "from"), joins.from_, segment, names)
