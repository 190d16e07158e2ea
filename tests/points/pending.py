"""What lets points wait for an approval, and what stands beside them: a rule for stays, and a cap."""

from __future__ import annotations

WAITING = {"pending": {"approval": True}}
STAY = {"rule": "stay", "on": ["stay"], "rate": {"points": 2, "per": 100}}
CAPS = [{"cap": "a-year", "unit": "point", "window": "calendar_year", "limit": 12}]
