"""Every answer says under which id its request is known here: the caller's own, if it gave a good one."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Final

REQUEST_ID: Final = b"x-request-id"
_GOOD: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}")


def id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id of the request with these headers, as far as they have come; their names are in lower case."""
    for name, value in headers:
        if name == REQUEST_ID:
            return value.decode() if _GOOD.fullmatch(value) else secrets.token_hex(12)
    return secrets.token_hex(12)
