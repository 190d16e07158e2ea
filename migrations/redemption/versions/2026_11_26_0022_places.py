"""Calls to partners say where that is, and some tell of a cancellation.

Why: limits count by place, so that a partner that is slow has its own queue, and what is due at each place is found
without walking through what waits at another. Whoever fulfilled is told when it is taken back.
"""

from alembic import op

revision = "redemption_0022"
down_revision = "redemption_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns, which have defaults, and an index, while few calls wait."""
    op.execute(
        "ALTER TABLE redemption.calls ADD COLUMN place text COLLATE \"C\" NOT NULL DEFAULT '', "
        "ADD COLUMN by text NOT NULL DEFAULT ''"
    )
    op.execute("CREATE INDEX calls_due_at ON redemption.calls (place, due_at)")


def downgrade() -> None:
    """Drop nothing: a call is somebody's reward."""
