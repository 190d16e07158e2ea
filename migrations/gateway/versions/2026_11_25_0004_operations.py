"""What callers do with a wallet itself, and where the clock of each program is being turned to.

Why: holds, adjustments and transfers are things of their own that a GET shows, as redemptions are; one table keeps
how each stands. While a manual clock is turned its program takes no requests, so that must be seen by every instance.
Only a table and nullable columns are added.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "gateway_0004"
down_revision = "gateway_0003"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Add operations, widen programs."""
    partitions = partitions_of("gateway")
    op.execute(f"""CREATE TABLE gateway.operations (program {KEY}, kind {KEY}, id {KEY}, partner {KEY}, member {KEY},
        request {KEY}, note text, state text NOT NULL, body bytea, epoch integer NOT NULL DEFAULT 0,
        sequence bigint NOT NULL DEFAULT 0, created_at timestamptz NOT NULL,
        PRIMARY KEY (program, kind, id)) PARTITION BY HASH (program, id)""")
    for part in range(partitions):
        op.execute(
            f"CREATE TABLE gateway.operations_p{part} PARTITION OF gateway.operations "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part}) WITH (fillfactor = 40)"
        )
    op.execute("ALTER TABLE gateway.programs ADD COLUMN turning_to timestamptz, ADD COLUMN turned bytea")


def downgrade() -> None:
    """Drop nothing: what callers asked is never taken back."""
    raise NotImplementedError
