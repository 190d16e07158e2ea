"""What is said of the partners of a program, in versions that travel with its requests.

Why: an activity is judged by its partner's state when it happened, wherever it is judged, so what is said of partners
is published like the versions of programs. Only a table and a column with a constant default are added.
"""

from alembic import op

revision = "gateway_0008"
down_revision = "gateway_0007"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Add terms, widen programs."""
    op.execute("ALTER TABLE gateway.programs ADD COLUMN partners integer NOT NULL DEFAULT 0")
    op.execute(f"""CREATE TABLE gateway.partner_terms (program {KEY}, version integer NOT NULL, partner {KEY},
        state text NOT NULL, since timestamptz, billing text NOT NULL, scores bytea,
        published_at timestamptz NOT NULL, PRIMARY KEY (program, version))""")
    op.execute("CREATE INDEX partner_terms_partner ON gateway.partner_terms (program, partner, version)")


def downgrade() -> None:
    """Drop nothing: what was said of partners is never taken back."""
    raise NotImplementedError
