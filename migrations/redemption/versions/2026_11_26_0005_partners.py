"""Redemptions that are confirmed later, taken back, or fulfilled by a partner.

Why: points, stock and price may be held until somebody confirms, by the wall's clock or the program's own; what is
cancelled keeps who wanted it and waits for points; a partner that fulfils is asked by calls that outlive any process,
and what it answered is kept.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "redemption_0005"
down_revision = "redemption_0004"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'
SAGA = f"program {KEY}, member {KEY}, redemption {KEY}"


def upgrade() -> None:
    """Add columns, which have defaults, the tables, and the indexes, while few sagas wait."""
    partitions = partitions_of("redemption")
    op.execute(
        "ALTER TABLE redemption.sagas ADD COLUMN later boolean NOT NULL DEFAULT false, "
        "ADD COLUMN manual boolean NOT NULL DEFAULT false, ADD COLUMN lots bytea NOT NULL DEFAULT '[]', "
        "ADD COLUMN cancelled_by text NOT NULL DEFAULT '', ADD COLUMN cancelling text NOT NULL DEFAULT '', "
        "ADD COLUMN reference text NOT NULL DEFAULT '', ADD COLUMN delayed boolean NOT NULL DEFAULT false"
    )
    op.execute("DROP INDEX redemption.sagas_waiting")
    op.execute(
        "CREATE INDEX sagas_waiting ON redemption.sagas (waits_until) WHERE waits_until IS NOT NULL AND NOT manual"
    )
    op.execute(
        "CREATE INDEX sagas_waiting_in ON redemption.sagas (program, waits_until) "
        "WHERE waits_until IS NOT NULL AND manual"
    )
    op.execute("ALTER TABLE redemption.turns ADD COLUMN timed_out bigint NOT NULL DEFAULT 0")
    op.execute(
        f"""CREATE TABLE redemption.calls ({SAGA}, due_at timestamptz NOT NULL, attempts integer NOT NULL DEFAULT 0,
        deadline timestamptz, PRIMARY KEY (program, member, redemption))"""
    )
    op.execute("CREATE INDEX calls_due ON redemption.calls (due_at)")
    op.execute(
        f"""CREATE TABLE redemption.partner_answers ({SAGA}, attempt integer NOT NULL, at timestamptz NOT NULL,
        asked text NOT NULL, status integer NOT NULL, verdict text NOT NULL, detail text NOT NULL,
        digest bytea NOT NULL, PRIMARY KEY (program, member, redemption, attempt))
        PARTITION BY HASH (program, member)"""
    )
    tables = ["partner_answers"]
    for part in range(partitions):
        tables.append(f"partner_answers_p{part}")
        op.execute(
            f"CREATE TABLE redemption.{tables[-1]} PARTITION OF redemption.partner_answers "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part})"
        )
    for table in tables:
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON redemption.{table} FROM laurel_redemption")


def downgrade() -> None:
    """Drop nothing: decisions are never taken back."""
