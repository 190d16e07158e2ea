"""A line of a file with a partner's codes."""

from typing import Annotated

from pydantic import Field

from laurel.contracts.envelope import Body
from laurel.values import NO_NUL_PATTERN, Instant

CODE_LENGTH_MAX = 64


class CodeLine(Body):
    """A code as its partner knows it, and the first moment at which it is no longer good."""

    code: Annotated[str, Field(min_length=1, max_length=CODE_LENGTH_MAX, pattern=NO_NUL_PATTERN)]
    expires_at: Instant | None = None
