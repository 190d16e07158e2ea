"""What is published is noted for a whole transaction.

Why: see `migrations/works.py`. To be run with the processes of redemption stopped: those of before mark what is no more.
"""

from alembic import op

from migrations.works import note_works

revision = "redemption_0002"
down_revision = "redemption_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the outbox."""
    note_works(op, "redemption")


def downgrade() -> None:
    """Drop nothing: what is published would no longer be known."""
    raise NotImplementedError
