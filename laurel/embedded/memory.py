"""How much memory this machine has for us, and how much of it the database keeps pages in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_MB: Final = 1024 * 1024
_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
_SHARE: Final = 16
_LEAST_MB, _MOST_MB = 128, 1024


def memory_mb(limit: Path = _LIMIT) -> int:
    """Return how much there is, in mebibytes: of the machine, or what a container may take of it."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        # "max" where there is no limit, and no file where there are no such containers.
        allowed = int(limit.read_text(encoding="ascii"))
    except (OSError, ValueError):
        allowed = whole
    return min(whole, allowed) // _MB


def shared_buffers_mb(memory: int) -> int:
    """Return the size of PostgreSQL's own cache: a sixteenth of the memory, within bounds.

    Its manual says a quarter for a machine that does nothing else; here others live, and they are to fit a small one.
    https://www.postgresql.org/docs/18/runtime-config-resource.html
    """
    return min(max(memory // _SHARE, _LEAST_MB), _MOST_MB)
