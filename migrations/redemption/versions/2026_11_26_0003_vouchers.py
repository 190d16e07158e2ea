"""Vouchers that are used, undone, void or over, those that points became, and the turns of sandboxes' clocks.

Why: a voucher lives on after its redemption, and some have none. What becomes of each is decided and kept like a saga's
steps. A voucher of points has no redemption, so the index by redemption leaves it out. Vouchers are found when their
time is over, and counted by the turn of a clock that made them, both by key.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "redemption_0003"
down_revision = "redemption_0002"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'
MEMBER = f"program {KEY}, member {KEY}"


def upgrade() -> None:
    """Add columns, which have defaults, the tables, and the indexes, while there are few vouchers."""
    partitions = partitions_of("redemption")
    op.execute(
        "ALTER TABLE redemption.vouchers ADD COLUMN conversion text NOT NULL DEFAULT '', "
        "ADD COLUMN not_above_basket boolean NOT NULL DEFAULT false, ADD COLUMN turned_to timestamptz, "
        "ADD COLUMN reference text NOT NULL DEFAULT '', ADD COLUMN used_by text NOT NULL DEFAULT '', "
        "ADD COLUMN step integer NOT NULL DEFAULT 0"
    )
    op.execute("DROP INDEX redemption.vouchers_by_redemption")
    op.execute(
        "CREATE INDEX vouchers_by_redemption ON redemption.vouchers (program, redemption) WHERE redemption <> ''"
    )
    op.execute("CREATE INDEX vouchers_ending ON redemption.vouchers (program, expires_at) WHERE state = 'issued'")
    op.execute("CREATE INDEX vouchers_turned ON redemption.vouchers (program, turned_to) WHERE turned_to IS NOT NULL")
    op.execute(
        f"""CREATE TABLE redemption.voucher_decisions ({MEMBER}, voucher {KEY}, step integer NOT NULL,
        kind text NOT NULL, message text NOT NULL, at timestamptz NOT NULL, facts bytea NOT NULL,
        PRIMARY KEY (program, member, voucher, step)) PARTITION BY HASH (program, member)"""
    )
    tables = ["voucher_decisions"]
    for part in range(partitions):
        tables.append(f"voucher_decisions_p{part}")
        op.execute(
            f"CREATE TABLE redemption.{tables[-1]} PARTITION OF redemption.voucher_decisions "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part})"
        )
    for table in tables:
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON redemption.{table} FROM laurel_redemption")
    op.execute(
        f"""CREATE TABLE redemption.turns (program {KEY}, as_of timestamptz NOT NULL,
        converted bigint NOT NULL DEFAULT 0, expired bigint NOT NULL DEFAULT 0, done boolean NOT NULL DEFAULT false,
        PRIMARY KEY (program, as_of))"""
    )


def downgrade() -> None:
    """Drop nothing: decisions are never taken back."""
