"""Several workers at one turn of a clock: pages of its members are handed out, and counted until they are done.

Why: a statement over millions of members is more than one process can decide in the time that is left for it. Turns
that are open when this runs go on where they were: `after` was how far they were done, and nothing is in hand.
"""

from alembic import op

revision = "points_0014"
down_revision = "points_0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen turns."""
    op.execute("""ALTER TABLE points.turns ADD COLUMN walk integer NOT NULL DEFAULT 0,
        ADD COLUMN in_hand integer NOT NULL DEFAULT 0""")


def downgrade() -> None:
    """Drop nothing: a ledger is never taken back."""
    raise NotImplementedError
