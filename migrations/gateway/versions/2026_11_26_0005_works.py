"""What is published is noted for a whole transaction.

Why: see `migrations/works.py`. To be run with the processes of gateway stopped: those of before mark what is no more.
"""

from alembic import op

from migrations.works import note_works

revision = "gateway_0005"
down_revision = "gateway_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the outbox."""
    note_works(op, "gateway")


def downgrade() -> None:
    """Drop nothing: what is published would no longer be known."""
    raise NotImplementedError
