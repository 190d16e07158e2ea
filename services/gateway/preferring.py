"""The `Prefer` header of RFC 7240: how long a caller is willing to wait for an outcome."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?')


@dataclass(frozen=True, slots=True)
class Preference:
    """How long to wait, and what of the caller's wishes was honoured."""

    wait_seconds: float
    applied: str | None

    @property
    def headers(self) -> dict[str, str]:
        return {"Preference-Applied": self.applied} if self.applied else {}


def preference(header: str | None, *, default_seconds: int, max_seconds: int) -> Preference:
    """Read `Prefer`; what is not understood is ignored, as the RFC asks.

    `respond-async` alone answers at once; with `wait=N` it means: asynchronously, if it takes longer than N.
    """
    waits: int | None = None
    respond_async = False
    for part in (header or "").split(","):
        wish = part.split(";", 1)[0].strip().lower()
        if wish == "respond-async":
            respond_async = True
        elif waits is None and (found := _WAIT.fullmatch(wish)):
            # The first mention of a preference wins (RFC 7240, section 2).
            waits = min(int(found[1]), max_seconds)
    if waits is not None:
        applied = f"respond-async, wait={waits}" if respond_async else f"wait={waits}"
        return Preference(float(waits), applied)
    if respond_async:
        return Preference(0.0, "respond-async")
    return Preference(float(default_seconds), None)
