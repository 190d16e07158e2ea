"""With which journal a bonus for a threshold was given, beside the counter that adds up what it asks for.

Why: a return may leave less in a window than the bonus asks for; the bonus then goes back, and lies with another activity
than comes back. A column with a constant default, so that the code that runs already is not disturbed.
"""

from alembic import op

revision = "points_0013"
down_revision = "points_0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; nothing was given yet."""
    op.execute("ALTER TABLE points.counters ADD COLUMN given_in bigint NOT NULL DEFAULT 0")


def downgrade() -> None:
    """Drop nothing: a ledger is never taken back."""
    raise NotImplementedError
