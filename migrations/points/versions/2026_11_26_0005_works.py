"""What is published is noted for a whole transaction.

Why: see `migrations/works.py`. To be run with the processes of points stopped: those of before mark what is no more.
"""

from alembic import op

from migrations.works import note_works

revision = "points_0005"
down_revision = "points_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the outbox."""
    note_works(op, "points")


def downgrade() -> None:
    """Drop nothing: what is published would no longer be known."""
    raise NotImplementedError
