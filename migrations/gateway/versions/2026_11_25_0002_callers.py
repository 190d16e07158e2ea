"""When a caller who waits for an outcome was last seen.

Why: a partner's file takes the road of the till. Whoever moves the lines of files must know whether somebody waits,
on whichever instance, to move fewer of them at a time.
"""

from alembic import op

revision = "gateway_0002"
down_revision = "gateway_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the one row."""
    op.execute(
        """CREATE TABLE gateway.callers ("only" boolean PRIMARY KEY DEFAULT true,
        seen_at timestamptz NOT NULL DEFAULT '-infinity', CONSTRAINT callers_only CHECK ("only"))
        WITH (fillfactor = 10)"""
    )
    op.execute("INSERT INTO gateway.callers DEFAULT VALUES")


def downgrade() -> None:
    """Drop nothing: a gateway of the release before does not look at it."""
