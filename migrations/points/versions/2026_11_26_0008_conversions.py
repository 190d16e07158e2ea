"""When points next may become vouchers, in each wallet.

Why: a conversion is due at dates of the program, and only for members who have points enough by then. The column says
when time has to look at a wallet for that; it goes into next_due_at like every other due date.
"""

from alembic import op

revision = "points_0008"
down_revision = "points_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; without a value there is nothing to look for."""
    op.execute("ALTER TABLE points.wallets ADD COLUMN converts_at timestamptz")


def downgrade() -> None:
    """Drop the column; it follows from balances and programs."""
    op.execute("ALTER TABLE points.wallets DROP COLUMN converts_at")
