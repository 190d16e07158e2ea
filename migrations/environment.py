"""What every history does alike: its own version table in its own schema, and limits on waiting.

A migration that waits for a lock makes everybody behind it wait too, so it gives up soon and is run again.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "60s"


def run(schema: str) -> None:
    """Run the history of one schema on the connection that `laurel.io.migrating` hands over."""
    connection: Connection | None = context.config.attributes.get("connection")
    if connection is None:
        raise RuntimeError("Migrations are run by `laurel migrate`, which chooses the database and the role.")
    connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.execute(text(f"set statement_timeout = '{STATEMENT_TIMEOUT}'"))
    connection.execute(text(f'set search_path = "{schema}"'))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=None,
        version_table="alembic_version",
        version_table_schema=schema,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
