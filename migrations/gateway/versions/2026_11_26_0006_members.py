"""Identifiers that are blocked, and details of members that events tell one at a time.

Why: a lost card must find nobody any more and never become somebody else's, so its row stays. What is known of a member,
its counters and its segments are said only by the events that move them, so each is kept as of its own event. Only a
nullable column and a table are added.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "gateway_0006"
down_revision = "gateway_0005"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Widen identifiers, add member_details."""
    partitions = partitions_of("gateway")
    op.execute("ALTER TABLE gateway.identifiers ADD COLUMN blocked_at timestamptz")
    op.execute(f"""CREATE TABLE gateway.member_details (program {KEY}, member {KEY}, detail {KEY}, body bytea NOT NULL,
        epoch integer NOT NULL, sequence bigint NOT NULL,
        PRIMARY KEY (program, member, detail)) PARTITION BY HASH (program, member)""")
    for part in range(partitions):
        op.execute(
            f"CREATE TABLE gateway.member_details_p{part} PARTITION OF gateway.member_details "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part}) WITH (fillfactor = 60)"
        )


def downgrade() -> None:
    """Drop nothing: what callers asked is never taken back."""
    raise NotImplementedError
