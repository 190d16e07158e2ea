"""Members whose account became a part of another one, and households.

Why: whoever asks for a member that was merged is answered for the one that it was merged into. The place of the event
that told so is kept beside it, because an instance that answers a caller may hear a later one first. Who is in which
household is decided here. Only a table, nullable columns and columns with constant defaults are added.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "gateway_0007"
down_revision = "gateway_0006"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Widen members, add households."""
    partitions = partitions_of("gateway")
    op.execute("""ALTER TABLE gateway.members ADD COLUMN merged_into text COLLATE "C",
        ADD COLUMN merged_epoch integer NOT NULL DEFAULT 0, ADD COLUMN merged_sequence bigint NOT NULL DEFAULT 0""")
    op.execute('ALTER TABLE gateway.members ADD COLUMN household text COLLATE "C"')
    op.execute(f"""CREATE TABLE gateway.households (program {KEY}, household {KEY}, members bytea NOT NULL,
        pooling boolean NOT NULL, request {KEY}, created_at timestamptz NOT NULL,
        PRIMARY KEY (program, household)) PARTITION BY HASH (program, household)""")
    for part in range(partitions):
        op.execute(
            f"CREATE TABLE gateway.households_p{part} PARTITION OF gateway.households "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part})"
        )


def downgrade() -> None:
    """Drop nothing: what callers asked is never taken back."""
    raise NotImplementedError
