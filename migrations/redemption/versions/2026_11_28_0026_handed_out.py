"""A code of a pool is sealed under the pool's key only until somebody has it.

Why: who has it has it sealed under a key of their own, which is destroyed when they are forgotten; a second copy that
the service can open would outlive that.
"""

from alembic import op

revision = "redemption_0026"
down_revision = "redemption_0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forget the copies of what was handed out until now."""
    op.execute("ALTER TABLE redemption.pool_codes ALTER COLUMN sealed DROP NOT NULL")
    op.execute("UPDATE redemption.pool_codes SET sealed = NULL WHERE voucher IS NOT NULL")


def downgrade() -> None:
    """Bring nothing back: that is its point."""
    raise NotImplementedError
