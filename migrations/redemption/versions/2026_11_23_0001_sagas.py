"""Rewards, stock, sagas and their decisions, vouchers, and the messaging tables.

Why: the first schema of redemption. Everything that grows with members is keyed and hash-partitioned by
(program, member); decisions and reward versions can only be inserted and read by the service's own role.
"""

from alembic import op

from migrations.messaging import create_messaging_tables
from migrations.partitions import partitions_of

revision = "redemption_0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'
MEMBER = f"program {KEY}, member {KEY}"

PARTITIONED = {
    "members": f"""({MEMBER}, key bytea,
        PRIMARY KEY (program, member)) PARTITION BY HASH (program, member)""",
    "sagas": f"""({MEMBER}, redemption {KEY}, state text NOT NULL, hold text NOT NULL, partner text NOT NULL,
        hash text NOT NULL, reward {KEY}, reward_version integer NOT NULL, quantity bigint NOT NULL,
        unit text NOT NULL, points bigint NOT NULL, version bigint NOT NULL, zone text NOT NULL,
        correlation text NOT NULL, code text NOT NULL DEFAULT '', counted boolean NOT NULL,
        waits_until timestamptz, at timestamptz NOT NULL, step integer NOT NULL,
        outcome_type text NOT NULL DEFAULT '', outcome bytea NOT NULL,
        PRIMARY KEY (program, member, redemption)) PARTITION BY HASH (program, member)""",
    "saga_decisions": f"""({MEMBER}, redemption {KEY}, step integer NOT NULL, kind text NOT NULL,
        message text NOT NULL, at timestamptz NOT NULL, facts bytea NOT NULL,
        PRIMARY KEY (program, member, redemption, step)) PARTITION BY HASH (program, member)""",
    "vouchers": f"""({MEMBER}, voucher {KEY}, redemption {KEY}, number smallint NOT NULL, state text NOT NULL,
        value bigint, currency text, issued_at timestamptz NOT NULL, expires_at timestamptz,
        suffix text NOT NULL, digest bytea NOT NULL, sealed bytea NOT NULL,
        PRIMARY KEY (program, member, voucher)) PARTITION BY HASH (program, member)""",
}

STORAGE = {"sagas": " WITH (fillfactor = 60)", "members": " WITH (fillfactor = 70)"}
APPEND_ONLY = ("saga_decisions", "rewards")


def upgrade() -> None:
    """Create them."""
    partitions = partitions_of("redemption")
    create_messaging_tables(op, "redemption", partitions)
    op.execute(f"""CREATE TABLE redemption.rewards (program {KEY}, reward {KEY}, version integer NOT NULL,
        document bytea NOT NULL, at timestamptz NOT NULL, message text NOT NULL,
        PRIMARY KEY (program, reward, version))""")
    # One row a reward, locked by every batch that may draw from it: little else may share its page.
    op.execute(f"""CREATE TABLE redemption.stock (program {KEY}, reward {KEY},
        version integer NOT NULL DEFAULT 0, total bigint,
        reserved bigint NOT NULL DEFAULT 0, taken bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (program, reward),
        CONSTRAINT stock_counts CHECK (reserved >= 0 AND taken >= 0)) WITH (fillfactor = 30)""")
    for name, columns in PARTITIONED.items():
        op.execute(f"CREATE TABLE redemption.{name} {columns}")
        for part in range(partitions):
            op.execute(
                f"CREATE TABLE redemption.{name}_p{part} PARTITION OF redemption.{name} "
                f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part}){STORAGE.get(name, '')}"
            )
    op.execute("CREATE INDEX sagas_waiting ON redemption.sagas (waits_until) WHERE waits_until IS NOT NULL")
    op.execute("CREATE INDEX vouchers_by_code ON redemption.vouchers (program, digest)")
    op.execute("CREATE INDEX vouchers_by_redemption ON redemption.vouchers (program, redemption)")
    for name in APPEND_ONLY:
        parts = [f"{name}_p{part}" for part in range(partitions)] if name in PARTITIONED else []
        for table in (name, *parts):
            op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON redemption.{table} FROM laurel_redemption")


def downgrade() -> None:
    """Drop nothing: decisions are never taken back."""
