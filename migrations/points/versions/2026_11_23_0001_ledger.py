"""The ledger: wallets, balances, journals, entries, lots, holds, activity ids, and the messaging tables.

Why: the first schema of points. Everything that grows with members is keyed and hash-partitioned by
(program, member); journals and entries can only be inserted and read by the service's own role.
"""

from alembic import op

from migrations.messaging import create_messaging_tables
from migrations.partitions import partitions_of

revision = "points_0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'
MEMBER = f"program {KEY}, member {KEY}"

TABLES = {
    "wallets": f"""({MEMBER}, status text NOT NULL, at timestamptz NOT NULL, version bigint NOT NULL,
        enrolled_at timestamptz, person text, attributes bytea, next_due_at timestamptz,
        PRIMARY KEY (program, member)) PARTITION BY HASH (program, member)""",
    "balances": f"""({MEMBER}, unit {KEY},
        available bigint NOT NULL DEFAULT 0, pending bigint NOT NULL DEFAULT 0, held bigint NOT NULL DEFAULT 0,
        owed bigint NOT NULL DEFAULT 0, earned bigint NOT NULL DEFAULT 0, spent bigint NOT NULL DEFAULT 0,
        expired bigint NOT NULL DEFAULT 0, reversed bigint NOT NULL DEFAULT 0, adjusted bigint NOT NULL DEFAULT 0,
        active_until timestamptz, next_expiry_at timestamptz, next_expiry_amount bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (program, member, unit)) PARTITION BY HASH (program, member)""",
    "journals": f"""({MEMBER}, journal bigint NOT NULL, kind text NOT NULL, cause text NOT NULL,
        partner text NOT NULL DEFAULT '', at timestamptz NOT NULL, occurred_at timestamptz NOT NULL,
        version integer NOT NULL DEFAULT 0, message text NOT NULL DEFAULT '', facts bytea NOT NULL, body bytea,
        PRIMARY KEY (program, member, journal)) PARTITION BY HASH (program, member)""",
    "entries": f"""({MEMBER}, journal bigint NOT NULL, entry smallint NOT NULL, unit {KEY}, account {KEY},
        amount bigint NOT NULL,
        PRIMARY KEY (program, member, journal, entry)) PARTITION BY HASH (program, member)""",
    "lots": f"""({MEMBER}, journal bigint NOT NULL, lot smallint NOT NULL, unit {KEY}, rule text NOT NULL,
        activity text NOT NULL, partner text NOT NULL, granted bigint NOT NULL, remaining bigint NOT NULL,
        held bigint NOT NULL DEFAULT 0, expired bigint NOT NULL DEFAULT 0, earned_at timestamptz NOT NULL,
        available_at timestamptz NOT NULL, expires_at timestamptz, funder text NOT NULL, version integer NOT NULL,
        PRIMARY KEY (program, member, journal, lot)) PARTITION BY HASH (program, member)""",
    "holds": f"""({MEMBER}, hold {KEY}, unit {KEY}, amount bigint NOT NULL, state text NOT NULL,
        saga boolean NOT NULL, parts bytea NOT NULL, journal bigint NOT NULL,
        PRIMARY KEY (program, member, hold)) PARTITION BY HASH (program, member)""",
    "activities": f"""(program {KEY}, partner {KEY}, activity {KEY}, member {KEY}, journal bigint NOT NULL,
        hash text NOT NULL, code text,
        PRIMARY KEY (program, partner, activity)) PARTITION BY HASH (program, activity)""",
    "returns": f"""({MEMBER}, of_journal bigint NOT NULL, journal bigint NOT NULL,
        PRIMARY KEY (program, member, of_journal, journal)) PARTITION BY HASH (program, member)""",
}

UPDATED_OFTEN = {"wallets", "balances"}
APPEND_ONLY = ("journals", "entries")


def upgrade() -> None:
    """Create the ledger."""
    partitions = partitions_of("points")
    create_messaging_tables(op, "points", partitions)
    op.execute(f"""CREATE TABLE points.programs (program {KEY}, version integer NOT NULL, document bytea NOT NULL,
        effective_from timestamptz NOT NULL, published_at timestamptz NOT NULL, PRIMARY KEY (program, version))""")
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE points.{name} {columns}")
        storage = " WITH (fillfactor = 60)" if name in UPDATED_OFTEN else ""
        for part in range(partitions):
            op.execute(
                f"CREATE TABLE points.{name}_p{part} PARTITION OF points.{name} "
                f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part}){storage}"
            )
    op.execute("CREATE INDEX wallets_due ON points.wallets (next_due_at) WHERE next_due_at IS NOT NULL")
    op.execute(
        "CREATE INDEX lots_spendable ON points.lots "
        "(program, member, unit, expires_at, earned_at, journal, lot) WHERE remaining > held"
    )
    for name in APPEND_ONLY:
        for table in (name, *(f"{name}_p{part}" for part in range(partitions))):
            op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON points.{table} FROM laurel_points")


def downgrade() -> None:
    """Drop nothing: a ledger is never taken back."""
    raise NotImplementedError
