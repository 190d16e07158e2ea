"""Into how many parts the tables that grow with members are cut: chosen before the first row, then the same for ever.

Why: parts of a large table are vacuumed and indexed each by itself, but every statement that reaches such a table by
key opens all parts of it, which is a good part of Postgres' work where rows come one by one. So a machine that holds
everything has one part, and an installation as many as it asks `laurel migrate` for.
"""

from __future__ import annotations

from alembic import context, op
from sqlalchemy import text

PARTITIONS = 8
"""Where nobody has asked for another number."""

_FIRST = "outbox_keys"
"""A table that each schema has from its first migration on."""


def partitions_of(schema: str) -> int:
    """Return the number for one schema: that of its first tables, or, while there are none, what was asked for."""
    there = op.get_bind().execute(
        text("SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(:first)"), {"first": f"{schema}.{_FIRST}"}
    )
    return int(there.scalar_one()) or int(context.config.attributes.get("partitions", PARTITIONS))
