"""What schemathesis is told of this API beyond its document: how a file is written down."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson", "text/csv")
def as_it_is(_: Any, text: Any) -> bytes:
    """A file is described as text."""
    return str(text).encode()
