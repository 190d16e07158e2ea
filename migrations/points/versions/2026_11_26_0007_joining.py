"""Accounts that became a part of another one, and households.

Why: what is reported for an account that was merged belongs to the one that answers for it, and a merge can be taken
back. Members of a household pay together. All of it must be known when the wallet is locked. Only nullable columns are added, so that the code that runs already
is not disturbed.
"""

from alembic import op

revision = "points_0007"
down_revision = "points_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen wallets."""
    op.execute("""ALTER TABLE points.wallets ADD COLUMN merged_into text COLLATE "C", ADD COLUMN merged_in bigint,
        ADD COLUMN household bytea""")


def downgrade() -> None:
    """Drop nothing: a ledger is never taken back."""
    raise NotImplementedError
