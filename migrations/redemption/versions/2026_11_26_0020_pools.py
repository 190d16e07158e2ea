"""Codes that partners give us for their rewards, and what returns give back of vouchers.

Why: such codes are known before anybody has them, so no member's key seals them, and their number is a reward's stock. Codes that
end at one moment are counted together, so that what is left at any moment is read from few rows.
"""

from alembic import op

revision = "redemption_0020"
down_revision = "redemption_0007"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Create both tables, and add columns, which have defaults."""
    op.execute("ALTER TABLE redemption.vouchers ADD COLUMN share_of text NOT NULL DEFAULT ''")
    op.execute(
        "ALTER TABLE redemption.voucher_uses ADD COLUMN upto bigint NOT NULL DEFAULT 0, "
        "ADD COLUMN restored bigint NOT NULL DEFAULT 0"
    )
    op.execute(
        f"""CREATE TABLE redemption.pool_codes (program {KEY}, digest bytea NOT NULL, reward {KEY},
        expires_at timestamptz NOT NULL, sealed bytea NOT NULL, suffix text NOT NULL,
        member text COLLATE "C", voucher text COLLATE "C", PRIMARY KEY (program, digest))"""
    )
    op.execute(
        "CREATE INDEX pool_codes_free ON redemption.pool_codes (program, reward, expires_at, digest) "
        "WHERE voucher IS NULL"
    )
    op.execute(
        f"""CREATE TABLE redemption.pool_lots (program {KEY}, reward {KEY}, expires_at timestamptz NOT NULL,
        codes bigint NOT NULL DEFAULT 0, handed bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (program, reward, expires_at),
        CONSTRAINT pool_lots_counts CHECK (handed >= 0 AND handed <= codes))"""
    )


def downgrade() -> None:
    """Drop nothing: codes are never forgotten."""
