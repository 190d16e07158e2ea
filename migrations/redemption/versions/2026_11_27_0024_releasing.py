"""Which sagas on manual clocks wait for points to release what they held is looked up by an index.

Why: a turn of the clock is over when none does, and that is asked again and again until it is so.
"""

from alembic import op

revision = "redemption_0024"
down_revision = "redemption_0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index; it holds few sagas, and each for a moment."""
    op.execute("CREATE INDEX sagas_releasing_in ON redemption.sagas (program) WHERE manual AND hold = 'release_asked'")


def downgrade() -> None:
    """Drop the index: nothing is lost by it."""
    op.execute("DROP INDEX redemption.sagas_releasing_in")
