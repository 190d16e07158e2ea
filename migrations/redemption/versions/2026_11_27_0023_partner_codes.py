"""Codes that partners give, by a pool or by an answer, are each there once in a program.

Why: whether a code was given before was only looked up, so two answers of one moment could give it to two members. The vouchers'
own index cannot be unique: they lie by member. What was given before stands in vouchers and pools, where it is looked up as ever, so
nothing is copied: a pool may hold more than a migration can move in its time.
"""

from alembic import op

revision = "redemption_0023"
down_revision = "redemption_0022"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Create the table. Nothing in it is changed or taken away."""
    op.execute(
        f"CREATE TABLE redemption.partner_codes (program {KEY}, digest bytea NOT NULL, PRIMARY KEY (program, digest))"
    )
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON redemption.partner_codes FROM laurel_redemption")


def downgrade() -> None:
    """Drop nothing: codes are never forgotten."""
