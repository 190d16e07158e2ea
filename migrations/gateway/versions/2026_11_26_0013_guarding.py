"""Keys that change their secret, an audit of who changed what, and files that are sent on where they broke off.

Why: a secret must be replaceable while tills still use the old one, so the old one stays good until old_until. What an
operator changed must be provable, so each change writes a row that nobody can alter. A file that broke off goes on at
a known place: lines_read and header say where its reading stood, writer who sends it now, so that a connection that
hangs is overtaken. Only a table, an index on a small table and columns with constant defaults are added.
"""

from alembic import op

revision = "gateway_0013"
down_revision = "gateway_0015"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'
ROLE = "laurel_gateway"


def upgrade() -> None:
    """Widen keys and batches, add audit."""
    op.execute("""ALTER TABLE gateway.api_keys ADD COLUMN old_prefix text COLLATE "C", ADD COLUMN old_hash bytea,
        ADD COLUMN old_until timestamptz, ADD COLUMN rate_limit integer""")
    op.execute("CREATE UNIQUE INDEX api_keys_old_prefix ON gateway.api_keys (old_prefix)")
    op.execute("CREATE INDEX api_keys_partner ON gateway.api_keys (partner)")
    op.execute(f"""CREATE TABLE gateway.audit (id {KEY}, at timestamptz NOT NULL, key {KEY}, partner {KEY},
        program text COLLATE "C", action {KEY}, target text NOT NULL, request text NOT NULL, before text, after text,
        PRIMARY KEY (id))""")
    op.execute("CREATE INDEX audit_program ON gateway.audit (program, id)")
    op.execute("CREATE INDEX audit_partner ON gateway.audit (partner, id)")
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON gateway.audit FROM {ROLE}")
    op.execute("""ALTER TABLE gateway.batches ADD COLUMN lines_read bigint NOT NULL DEFAULT 0,
        ADD COLUMN writer text NOT NULL DEFAULT '', ADD COLUMN mapping bytea, ADD COLUMN header bytea""")


def downgrade() -> None:
    """Drop nothing: an audit is never taken back."""
    raise NotImplementedError
