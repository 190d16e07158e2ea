"""Points that wait, and points with more than one side: pending lots, prepaid blocks, and who referred whom.

Why: a lot may await a date, an event or approval, and must be found when it is due; a partner may pay for its points in
advance, which is one row that whoever draws from it locks, with a queue of the activities that it does not cover yet.
Only tables, nullable columns and columns with constant defaults are added, so that the code that runs already is not
disturbed.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "points_0009"
down_revision = "points_0008"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Widen wallets and lots, add terms, blocks, what was paid for them, and their queue."""
    partitions = partitions_of("points")
    op.execute("ALTER TABLE points.wallets ADD COLUMN releases_at timestamptz")
    op.execute('ALTER TABLE points.wallets ADD COLUMN referred_by text COLLATE "C", ADD COLUMN birthday_at timestamptz')
    op.execute("""ALTER TABLE points.lots ADD COLUMN pending bigint NOT NULL DEFAULT 0,
        ADD COLUMN awaits text NOT NULL DEFAULT '', ADD COLUMN unfunded boolean NOT NULL DEFAULT false""")
    op.execute("CREATE INDEX lots_pending ON points.lots (program, member, awaits, available_at) WHERE pending > 0")
    op.execute(f"""CREATE TABLE points.partner_terms (program {KEY}, version integer NOT NULL, partner {KEY},
        state text NOT NULL, since timestamptz, billing text NOT NULL, PRIMARY KEY (program, version))""")
    op.execute(f"""CREATE TABLE points.blocks (program {KEY}, partner {KEY}, unit {KEY},
        units bigint NOT NULL DEFAULT 0, used bigint NOT NULL DEFAULT 0, queued bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (program, partner, unit)) WITH (fillfactor = 50)""")
    op.execute(f"""CREATE TABLE points.block_payments (program {KEY}, partner {KEY}, reference {KEY}, unit {KEY},
        units bigint NOT NULL, amount bigint NOT NULL, currency text NOT NULL, at timestamptz NOT NULL,
        as_of timestamptz, versions integer NOT NULL, message text NOT NULL, correlation text NOT NULL,
        traceparent text NOT NULL, after bigint NOT NULL DEFAULT 0, done boolean NOT NULL DEFAULT false,
        PRIMARY KEY (program, partner, reference))""")
    op.execute("""CREATE INDEX block_payments_open ON points.block_payments (program, partner, reference)
        WHERE NOT done""")
    op.execute(f"""CREATE TABLE points.funding_queue (program {KEY}, member {KEY}, journal bigint NOT NULL,
        funder {KEY}, unit {KEY}, number bigint NOT NULL, partner {KEY}, activity {KEY}, message text NOT NULL,
        correlation text NOT NULL, traceparent text NOT NULL, funded_in bigint, funded_by text COLLATE "C",
        PRIMARY KEY (program, member, journal)) PARTITION BY HASH (program, member)""")
    for part in range(partitions):
        op.execute(
            f"CREATE TABLE points.funding_queue_p{part} PARTITION OF points.funding_queue "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part})"
        )
    op.execute("""CREATE INDEX funding_queue_open ON points.funding_queue (program, funder, unit, number)
        WHERE funded_in IS NULL""")
    op.execute("""CREATE INDEX funding_queue_done ON points.funding_queue
        (program, funder, funded_by, member, journal) WHERE funded_by IS NOT NULL""")


def downgrade() -> None:
    """Drop nothing: a ledger is never taken back."""
    raise NotImplementedError
