"""What a reward costs whom and when, and what there is only so much of: seats, limits, one-time keys.

Why: a reward's versions count from an instant on; resources are said anew for some days; what is in use of a seat, a
limit or a key is one count a name, locked by whoever may draw from it; and a saga keeps what was agreed. Only tables and
columns that are empty or have a constant default are added.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "redemption_0004"
down_revision = "redemption_0020"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Add columns and tables."""
    partitions = partitions_of("redemption")
    op.execute("ALTER TABLE redemption.rewards ADD COLUMN effective_from timestamptz")
    op.execute("ALTER TABLE redemption.sagas ADD COLUMN bargain bytea NOT NULL DEFAULT '{}'")
    op.execute(
        f"""CREATE TABLE redemption.resources (program {KEY}, resource {KEY}, version integer NOT NULL,
        document bytea NOT NULL, at timestamptz NOT NULL, message text NOT NULL,
        PRIMARY KEY (program, resource, version))"""
    )
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON redemption.resources FROM laurel_redemption")
    op.execute(
        f"""CREATE TABLE redemption.tallies (program {KEY}, name {KEY}, used bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (program, name), CONSTRAINT tally_counts CHECK (used >= 0)) PARTITION BY HASH (program, name)"""
    )
    for part in range(partitions):
        op.execute(
            f"CREATE TABLE redemption.tallies_p{part} PARTITION OF redemption.tallies "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part})"
        )


def downgrade() -> None:
    """Drop nothing: what was sold is never forgotten."""
    raise NotImplementedError
