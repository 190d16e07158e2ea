"""Tiers: where each member stands, and what it has counted towards them.

Why: programs with tiers keep a standing a member and dated counts, which load and write by key like the wallet itself.
Members of programs without tiers have no row in either table.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "points_0004"
down_revision = "points_0003"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'
MEMBER = f"program {KEY}, member {KEY}"

TABLES = {
    "tiers": f"""({MEMBER}, tier text NOT NULL, since_at timestamptz NOT NULL, until_at timestamptz,
        journal bigint NOT NULL, standing bytea NOT NULL, stood bytea NOT NULL,
        PRIMARY KEY (program, member)) PARTITION BY HASH (program, member)""",
    "tier_counts": f"""({MEMBER}, grain {KEY}, day date NOT NULL, unit {KEY}, amount bigint NOT NULL,
        PRIMARY KEY (program, member, grain, day, unit)) PARTITION BY HASH (program, member)""",
}


def upgrade() -> None:
    """Create the tables."""
    partitions = partitions_of("points")
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE points.{name} {columns}")
        for part in range(partitions):
            op.execute(
                f"CREATE TABLE points.{name}_p{part} PARTITION OF points.{name} "
                f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part}) WITH (fillfactor = 80)"
            )


def downgrade() -> None:
    """Drop the tables; the journals keep all that they were folded from."""
    for name in TABLES:
        op.execute(f"DROP TABLE points.{name}")
