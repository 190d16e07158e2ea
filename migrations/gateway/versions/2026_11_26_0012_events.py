"""What others may hear, in the order in which it is committed here.

Why: streams are resumed and webhooks continued by a position, which must neither leave out nor repeat an event. It is
counted here, in the transaction that keeps the event. Only tables are added.
"""

from alembic import op

revision = "gateway_0012"
down_revision = "gateway_0008"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Add the events and the counter of their positions."""
    op.execute("""CREATE TABLE gateway.event_head ("only" boolean NOT NULL DEFAULT true PRIMARY KEY
        CONSTRAINT event_head_only CHECK ("only"), position bigint NOT NULL)""")
    op.execute("INSERT INTO gateway.event_head (position) VALUES (0)")
    op.execute(f"""CREATE TABLE gateway.events (position bigint NOT NULL PRIMARY KEY, program {KEY}, member {KEY},
        type text NOT NULL, partner text, source text NOT NULL, sequence bigint NOT NULL, event bytea NOT NULL,
        created_at timestamptz NOT NULL)""")


def downgrade() -> None:
    """Drop what only streams and webhooks read."""
    op.execute("DROP TABLE gateway.events, gateway.event_head")
