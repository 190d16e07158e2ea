"""Caps ready to be asked: how much may be granted, over which window, to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from laurel.calendars import local_date
from laurel.program.conditions import Condition, compile_condition
from laurel.program.scopes import member_scope

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from zoneinfo import ZoneInfo

    from laurel.program.document import Cap, ProgramDocument
    from laurel.program.rules import CompiledRule
    from laurel.program.windows import Window, WindowKind

CapReason = Literal["transaction_cap", "window_cap", "balance_cap", "budget"]
TRANSACTION_CAP: Final = "transaction_cap"
WINDOW_CAP: Final = "window_cap"
BALANCE_CAP: Final = "balance_cap"
BUDGET: Final = "budget"
COUNTER_OF_A_CAP: Final = "cap/"
"""How the names of the counters begin that caps move; those of limits of rules and gifts do not."""


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A limit, for the members and the windows that it holds for."""

    limit: int
    where: Condition | None
    windows_from: date | None
    windows_until: date | None


@dataclass(frozen=True, slots=True, eq=False)
class CompiledCap:
    """A cap with all its bounds; the first that holds is the one. `counter` names what its window counts."""

    name: str
    unit: str
    reason: CapReason
    counter: str
    window: WindowKind | None
    rules: frozenset[str] | None
    bounds: tuple[Bound, ...]
    zone: ZoneInfo

    def covers(self, rule: CompiledRule) -> bool:
        """Whether what a rule grants counts here; what others get does not, unless the cap is of one transaction."""
        if rule.to is not None and self.reason != TRANSACTION_CAP:
            return False
        return rule.unit == self.unit and (self.rules is None or rule.id in self.rules)

    def limit(self, member: Mapping[str, Any], window: Window | None = None) -> int | None:
        """Return how much may be granted or stand; None where nothing limits this member in this window."""
        first_day = None if window is None else local_date(window.start, self.zone)
        for bound in self.bounds:
            if first_day is not None:
                if bound.windows_from is not None and first_day < bound.windows_from:
                    continue
                if bound.windows_until is not None and first_day >= bound.windows_until:
                    continue
            if bound.where is None or bound.where.holds(None, member):
                return bound.limit
        return None


def compile_caps(document: ProgramDocument, zone: ZoneInfo) -> tuple[CompiledCap, ...]:
    """Compile the caps of a document in the order in which they are applied: transaction, window, balance (S6)."""
    named: dict[str, list[Cap]] = {}
    for cap in document.caps:
        named.setdefault(cap.cap, []).append(cap)
    compiled = [_compile(name, caps, document, zone) for name, caps in named.items()]
    order = (TRANSACTION_CAP, WINDOW_CAP, BALANCE_CAP)
    return tuple(sorted(compiled, key=lambda cap: order.index(cap.reason)))


def _compile(name: str, caps: list[Cap], document: ProgramDocument, zone: ZoneInfo) -> CompiledCap:
    first = caps[0]
    scope = member_scope(document.attributes.member)
    window = first.window if first.window != "transaction" else None
    reason: CapReason = "window_cap"
    if first.of == "outstanding":
        reason = "balance_cap"
    elif window is None:
        reason = "transaction_cap"
    return CompiledCap(
        name=name,
        unit=first.unit,
        reason=reason,
        counter=f"{COUNTER_OF_A_CAP}{name}/{window}" if window is not None else "",
        window=window,
        rules=None if first.rules is None else frozenset(first.rules),
        bounds=tuple(
            Bound(
                cap.limit,
                compile_condition(cap.where, scope) if cap.where is not None else None,
                cap.windows_from,
                cap.windows_until,
            )
            for cap in caps
        ),
        zone=zone,
    )
