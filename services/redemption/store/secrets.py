"""What is kept of a voucher's code."""

from __future__ import annotations

from typing import NamedTuple


class Secret(NamedTuple):
    """A code as a keyed hash, for look-up, and sealed, for display."""

    digest: bytes
    sealed: bytes
