"""Webhooks: who wants to be told what, how far it was told, and what became of each event.

Why: an endpoint goes on from its position wherever a worker takes it over, and the log of deliveries is what orders the
events of a member and what can be read and sent again. Only tables are added.
"""

from alembic import op

revision = "gateway_0015"
down_revision = "gateway_0014"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Add webhooks and their deliveries."""
    op.execute(f"""CREATE TABLE gateway.webhooks (webhook {KEY} PRIMARY KEY, partner {KEY}, created_by {KEY},
        url text NOT NULL, types text[] NOT NULL, programs text[] NOT NULL, own_only boolean NOT NULL,
        generation integer NOT NULL DEFAULT 1, before_until timestamptz, state text NOT NULL, reason text,
        changed_at timestamptz NOT NULL, created_at timestamptz NOT NULL, version integer NOT NULL DEFAULT 1,
        position bigint NOT NULL, failing_since timestamptz, last_error text, delivered_at timestamptz,
        missed_at timestamptz, holder {KEY} DEFAULT '', held_until timestamptz NOT NULL DEFAULT '-infinity')""")
    op.execute("CREATE INDEX webhooks_partner ON gateway.webhooks (partner, webhook)")
    op.execute(f"""CREATE TABLE gateway.deliveries (webhook {KEY}, position bigint NOT NULL, program {KEY},
        member {KEY}, type text NOT NULL, state text NOT NULL, attempts integer NOT NULL, next_at timestamptz,
        status integer, error text, first_at timestamptz, tried_at timestamptz,
        PRIMARY KEY (webhook, position))""")
    op.execute("""CREATE INDEX deliveries_waiting ON gateway.deliveries (webhook, position)
        WHERE state = 'waiting'""")


def downgrade() -> None:
    """Drop what only webhooks read."""
    op.execute("DROP TABLE gateway.deliveries, gateway.webhooks")
