"""Counters of windows, what their caps refused, things that may be credited once, and budgets.

Why: caps and limits are exact only if what they count is kept with the wallet; and a return may grant what a cap had
refused, oldest first, so refusals must be found without reading journals. What may be credited once in a group of
programs, and what a rule may grant to all, belong to no member, so they have rows of their own that whoever wants
them locks.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "points_0002"
down_revision = "points_0001"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'
MEMBER = f"program {KEY}, member {KEY}"

TABLES = {
    "counters": f"""({MEMBER}, counter {KEY}, window_start timestamptz NOT NULL, window_end timestamptz,
        unit text NOT NULL, counted bigint NOT NULL, bound bigint,
        PRIMARY KEY (program, member, counter, window_start)) PARTITION BY HASH (program, member)""",
    "refusals": f"""({MEMBER}, journal bigint NOT NULL, rule {KEY}, unit text NOT NULL, counter {KEY},
        window_start timestamptz NOT NULL, occurred_at timestamptz NOT NULL, refused bigint NOT NULL,
        PRIMARY KEY (program, member, journal, rule)) PARTITION BY HASH (program, member)""",
    "exclusive_keys": f"""(exclusive_group {KEY}, exclusive_key {KEY}, program text COLLATE "C",
        member text COLLATE "C", journal bigint,
        PRIMARY KEY (exclusive_group, exclusive_key)) PARTITION BY HASH (exclusive_group, exclusive_key)""",
}

UPDATED_OFTEN = {"counters"}


def upgrade() -> None:
    """Create the tables."""
    partitions = partitions_of("points")
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE points.{name} {columns}")
        storage = " WITH (fillfactor = 60)" if name in UPDATED_OFTEN else ""
        for part in range(partitions):
            op.execute(
                f"CREATE TABLE points.{name}_p{part} PARTITION OF points.{name} "
                f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part}){storage}"
            )
    op.execute(f"""CREATE TABLE points.budgets (program {KEY}, rule {KEY}, drawn bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (program, rule)) WITH (fillfactor = 60)""")
    op.execute(
        "CREATE INDEX refusals_open ON points.refusals "
        "(program, member, counter, window_start, occurred_at, journal, rule) WHERE refused > 0"
    )


def downgrade() -> None:
    """Drop nothing: a ledger is never taken back."""
    raise NotImplementedError
