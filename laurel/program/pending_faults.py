"""What is wrong with what points of a rule await."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laurel.program.document import Rule, Unit

_CHOICES = ("days", "until_event", "approval")


def pending_faults(rule: Rule, unit: Unit | None) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield faults as (path within the rule, code, detail)."""
    pending = rule.pending
    if pending is None:
        return
    said = [key for key in _CHOICES if getattr(pending, key) is not None]
    if not said:
        yield ("pending",), "missing", "what points await is one of days, until_event and approval"
    for extra in said[1:]:
        yield ("pending", extra), "not_allowed", f"points await one thing; these await {said[0]}"
    if pending.until_event == "return":
        yield ("pending", "until_event"), "not_allowed", "a return takes points back, it makes none available"
    if unit is not None and unit.counts_only:
        yield ("pending",), "not_allowed", f"{rule.unit} only counts: it is no points, so nothing of it waits"
