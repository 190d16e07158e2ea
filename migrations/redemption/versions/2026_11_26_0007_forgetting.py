"""Members who were erased, and the keys of the service itself.

Why: whoever was erased must never get a key again, so the row says so. The key that voucher codes are hashed by is kept,
sealed, so that the service's secret can change without a code being lost. Only a nullable column and a table are added.
"""

from alembic import op

revision = "redemption_0007"
down_revision = "redemption_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen members, add service_keys."""
    op.execute("ALTER TABLE redemption.members ADD COLUMN erased_at timestamptz")
    op.execute("""CREATE TABLE redemption.service_keys (name text COLLATE "C" NOT NULL, sealed bytea NOT NULL,
        PRIMARY KEY (name))""")


def downgrade() -> None:
    """Drop nothing: a key that is lost loses every voucher."""
    raise NotImplementedError
