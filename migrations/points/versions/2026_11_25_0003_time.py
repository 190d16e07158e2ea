"""Holds that time out, the turns of manual clocks, adjustments, and what a wallet needs for them.

Why: a caller's hold ends by itself, may be captured or cancelled in part, and must be found when it is due; a sandbox
has a clock of its own, which is turned in steps that can stop and go on anywhere; a person's decision may wait for
another's. Only tables, nullable columns and columns with constant defaults are added, so that the code that runs
already is not disturbed.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "points_0003"
down_revision = "points_0002"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Widen wallets and holds, add turns."""
    partitions = partitions_of("points")
    op.execute("""ALTER TABLE points.wallets ADD COLUMN hold_expires_at timestamptz,
        ADD COLUMN occurred_at timestamptz, ADD COLUMN turned_to timestamptz""")
    op.execute("""ALTER TABLE points.holds ADD COLUMN expires_at timestamptz,
        ADD COLUMN partner text NOT NULL DEFAULT '', ADD COLUMN reference text NOT NULL DEFAULT '',
        ADD COLUMN captured bigint NOT NULL DEFAULT 0, ADD COLUMN cancelled bigint NOT NULL DEFAULT 0""")
    op.execute("UPDATE points.holds SET captured = amount WHERE state = 'captured'")
    op.execute("""CREATE INDEX holds_open ON points.holds (program, member, expires_at)
        WHERE state = 'held' AND expires_at IS NOT NULL""")
    op.execute(f"""CREATE TABLE points.adjustments (program {KEY}, member {KEY}, adjustment {KEY}, unit {KEY},
        amount bigint NOT NULL, state text NOT NULL, reason text NOT NULL, partner text NOT NULL,
        expires_at timestamptz, waiting bigint NOT NULL DEFAULT 0, corrects text NOT NULL DEFAULT '',
        corrected boolean NOT NULL DEFAULT false, journal bigint NOT NULL DEFAULT 0,
        reversed bigint NOT NULL DEFAULT 0, written_off bigint NOT NULL DEFAULT 0, bonus bigint NOT NULL DEFAULT 0,
        owed bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (program, member, adjustment)) PARTITION BY HASH (program, member)""")
    for part in range(partitions):
        op.execute(
            f"CREATE TABLE points.adjustments_p{part} PARTITION OF points.adjustments "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part})"
        )
    op.execute(f"""CREATE TABLE points.turns (program {KEY}, as_of timestamptz NOT NULL,
        message text NOT NULL, correlation text NOT NULL, traceparent text NOT NULL,
        after {KEY} DEFAULT '', released bigint NOT NULL DEFAULT 0, holds_timed_out bigint NOT NULL DEFAULT 0,
        lots_expired bigint NOT NULL DEFAULT 0, tiers_changed bigint NOT NULL DEFAULT 0,
        converted bigint NOT NULL DEFAULT 0, done boolean NOT NULL DEFAULT false,
        PRIMARY KEY (program, as_of))""")


def downgrade() -> None:
    """Drop nothing: a ledger is never taken back."""
    raise NotImplementedError
