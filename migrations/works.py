"""Works in the outbox, as the migration of each schema makes them.

Why: that an event is published was noted in its row, which wrote every row of the outbox twice. It is noted once for all
that one transaction said: its work is in `outbox_open` until then. This file is frozen with the migrations that use it.
"""

from __future__ import annotations

from migrations.messaging import Operations

_STORAGE = "fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000"


def note_works(op: Operations, schema: str) -> None:
    """Make the table and the column, open a work for each row that is not published, and drop what told so before."""
    op.execute(f"""CREATE TABLE {schema}.outbox_open (
        work uuid NOT NULL PRIMARY KEY,
        events integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    ) WITH ({_STORAGE})""")
    op.execute(f"ALTER TABLE {schema}.outbox ADD COLUMN work uuid")
    op.execute(f"UPDATE {schema}.outbox SET work = gen_random_uuid() WHERE published_at IS NULL")
    op.execute(
        f"INSERT INTO {schema}.outbox_open (work, events) SELECT work, 1 FROM {schema}.outbox WHERE work IS NOT NULL"
    )
    op.execute(f"CREATE INDEX outbox_work ON {schema}.outbox (work)")
    op.execute(f"DROP INDEX {schema}.outbox_unpublished")
    op.execute(f"ALTER TABLE {schema}.outbox DROP COLUMN published_at")
