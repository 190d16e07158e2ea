"""Many members' due work in parts beside each other: while the database writes one, the next is decided."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from laurel.io.database import is_conflict
from services.points.ports import WalletKey


async def in_parts(
    wallets: Sequence[WalletKey], size_max: int, work: Callable[[Sequence[WalletKey]], Awaitable[None]]
) -> None:
    """Do the work for all of them, each part in a transaction of its own; the parts share no member.

    A part that fails leaves the others as they are. What failed is raised at the end, a mere conflict last: what it
    left is due as before.
    """
    parts = [wallets[start : start + size_max] for start in range(0, len(wallets), size_max)]
    failed = [
        found
        for found in await asyncio.gather(*(work(part) for part in parts), return_exceptions=True)
        if isinstance(found, BaseException)
    ]
    for error in sorted(failed, key=is_conflict):
        raise error
