"""Segments: to which of them each member belongs, and how far a judgement of all members is. Limits by person.

Why: clubs and rankings are judged for all members of a program at one instant. What is measured of each is kept until the
member is judged, so that a judgement can stop anywhere and goes on where it was. A limit by
person counts what several members do, so it has a row of its own. Only tables are added.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "points_0006"
down_revision = "points_0005"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'
MEMBER = f"program {KEY}, member {KEY}"

TABLES = {
    "segments": f"""({MEMBER}, names text[] NOT NULL, held bytea NOT NULL, past bytea NOT NULL,
        PRIMARY KEY (program, member)) PARTITION BY HASH (program, member)""",
    "measured": f"""({MEMBER}, segment {KEY}, measure bigint NOT NULL,
        PRIMARY KEY (program, member, segment)) PARTITION BY HASH (program, member)""",
    "person_counts": f"""(program {KEY}, person {KEY}, counter {KEY}, window_start timestamptz NOT NULL,
        counted bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (program, person, counter, window_start)) PARTITION BY HASH (program, person)""",
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
    op.execute("CREATE INDEX measured_order ON points.measured (program, segment, measure)")
    op.execute(f"""CREATE TABLE points.judgements (program {KEY}, at timestamptz NOT NULL, state text NOT NULL,
        after text COLLATE "C" NOT NULL DEFAULT '', cuts bytea, PRIMARY KEY (program, at))""")


def downgrade() -> None:
    """Drop the tables; the journals keep all that segments were folded from."""
    for name in (*TABLES, "judgements"):
        op.execute(f"DROP TABLE points.{name}")
