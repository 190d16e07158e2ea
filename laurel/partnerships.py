"""Whether a partner takes part in a program at an instant, by what was said of it.

What is said of a partner holds from its `since` on, over what was said before it. A partner of whom nothing was said
takes part: the program's operator gave it its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

State = Literal["applicant", "approved", "suspended", "terminated"]

_LEAVING: Final = frozenset({"suspended", "terminated"})


class Said(Protocol):
    """One version of what is said of a partner; without `since` it holds from the beginning."""

    @property
    def state(self) -> State: ...
    @property
    def since(self) -> datetime | None: ...


def state_at(said: Sequence[Said], at: datetime) -> State:
    """Return a partner's state at an instant, by what was said of it in the order of versions.

    Before the first of it the partner did not take part yet, unless that says that it leaves.
    """
    for each in reversed(said):
        if each.since is None or each.since <= at:
            return each.state
    return "applicant" if said and said[0].state not in _LEAVING else "approved"
