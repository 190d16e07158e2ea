"""Every change that an administrator makes is noted in the transaction that makes it: who, what, by which request.

Nothing personal stands in it: what was changed is told by digests, so that it can be proven and not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.io.http import request_id
from services.gateway.naming import new_id
from services.gateway.reading import api_of
from services.gateway.store.audit import AuditRow, digest

if TYPE_CHECKING:
    from fastapi import Request

    from services.gateway.guarding import Caller


def noted(
    request: Request,
    caller: Caller,
    action: str,
    target: str,
    *,
    program: str | None = None,
    before: object = None,
    after: object = None,
) -> AuditRow:
    """Return the row of a change; `before` and `after` are what it is about, None where there is nothing."""
    return AuditRow(
        new_id("au"),
        api_of(request).clock(),
        caller.key,
        caller.partner,
        program,
        action,
        target,
        request_id(request),
        digest(before),
        digest(after),
    )
