"""What is wrong with whom a rule gives points to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from laurel.program.document import Attributes, Rule

_DECLARED = {"employer": "member", "agent": "activity"}
"""Who is named by an attribute of its role's name, and whose attribute that is."""


def concerning_faults(
    rule: Rule, rules: Mapping[int, Rule], attributes: Attributes | None
) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Yield faults as (path within the rule, code, detail)."""
    if rule.to is not None and rule.given is not None and rule.given != rule.to:
        yield ("given",), "not_allowed", f"points for the {rule.to} ask for one already"
    for key in ("to", "given"):
        role = getattr(rule, key)
        subject = _DECLARED.get(role or "")
        declared = getattr(attributes, subject, {}) if subject is not None and attributes is not None else None
        if declared is not None and declared.get(role) != "text":
            yield (key,), "unknown_reference", f"{role} is not declared as a text under attributes/{subject}"
    if rule.multiplier is None:
        return
    for position, name in enumerate(rule.multiplier.of):
        base = next((other for other in rules.values() if other.rule == name), None)
        if base is not None and (base.to is not None or base.given is not None):
            path = ("multiplier", "of") if len(rule.multiplier.of) == 1 else ("multiplier", "of", position)
            yield path, "not_allowed", f"{name} is for another, or asks for one, so nothing can build on it"
