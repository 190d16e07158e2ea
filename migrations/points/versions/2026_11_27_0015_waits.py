"""Turns of clocks that stop where a redemption's wait ends, and the holds that tell where that is.

Why: what is due is done in the order of its instants, also where redemption ends a wait in between. Holds that are
open when this runs tell nothing of it: their waits end when the turn is over, as before. Turns that are open go on.
"""

from alembic import op

revision = "points_0015"
down_revision = "points_0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen holds and turns; no hold is in the index yet."""
    op.execute("ALTER TABLE points.holds ADD COLUMN waits_until timestamptz")
    op.execute(
        "CREATE INDEX holds_waiting ON points.holds (program, waits_until) "
        "WHERE state = 'held' AND waits_until IS NOT NULL"
    )
    op.execute("""ALTER TABLE points.turns ADD COLUMN part_to timestamptz, ADD COLUMN waits_to timestamptz,
        ADD COLUMN waited_to timestamptz""")


def downgrade() -> None:
    """Drop nothing: a ledger is never taken back."""
    raise NotImplementedError
