"""Lines of files that gave back what redemption shows: a file is not done before reads show it.

Why: `done` promises that the next read shows the effect of every line, and what a return gives back of vouchers and
captured points is shown by redemption, which hears of it after the gateway. Only a table is added.
"""

from alembic import op

revision = "gateway_0016"
down_revision = "gateway_0013"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Add the lines that wait for redemption."""
    op.execute(f"""CREATE TABLE gateway.batch_giving_back (program {KEY}, batch {KEY}, line bigint NOT NULL,
        told bytea NOT NULL, PRIMARY KEY (program, batch, line))""")


def downgrade() -> None:
    """Drop what only unfinished files need."""
    op.execute("DROP TABLE gateway.batch_giving_back")
