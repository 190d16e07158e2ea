"""What is known of people lies sealed under a key of their own, which can be destroyed.

Why: a member must be told what is held about it, so identifiers are kept readable beside their hash, and nobody who reads
the tables may learn them. The key that identifiers are hashed by is kept, sealed, so that the secret can change. What
callers wrote about a member is sealed, too, and found by the member. Only nullable columns, a table and an index are added;
notes that were written in clear before are sealed by `laurel reseal`.
"""

from alembic import op

revision = "gateway_0014"
down_revision = "gateway_0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen members, identifiers and operations, add service_keys."""
    op.execute("ALTER TABLE gateway.members ADD COLUMN key bytea")
    op.execute("ALTER TABLE gateway.identifiers ADD COLUMN sealed bytea")
    op.execute("ALTER TABLE gateway.operations ADD COLUMN sealed_note bytea")
    op.execute("CREATE INDEX operations_member ON gateway.operations (program, member)")
    op.execute("""CREATE TABLE gateway.service_keys (name text COLLATE "C" NOT NULL, sealed bytea NOT NULL,
        PRIMARY KEY (name))""")


def downgrade() -> None:
    """Drop nothing: a key that is lost loses what it sealed."""
    raise NotImplementedError
