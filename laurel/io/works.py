"""Works: the sayings of one transaction, which lie open until all of them are published.

What is published is noted once for a work and not once for an event, which would write every event a second time.
"""

from __future__ import annotations

import secrets
import time
from uuid import UUID


def new_work() -> UUID:
    """Return a name that nobody else gives, and by which works sort as they were begun (UUID version 7, RFC 9562)."""
    milliseconds = time.time_ns() // 1_000_000
    return UUID(int=milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62))
