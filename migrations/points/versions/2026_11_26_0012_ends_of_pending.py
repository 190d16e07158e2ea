"""Lots that end before what they await are due at their end.

Why: points may await an activity or an approval that never comes, and are then given up when they end. They are found
by an index of their own, and the wallets that have any are looked at by then.
"""

from alembic import op

revision = "points_0012"
down_revision = "points_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index, and say of the wallets that have such lots when time has to look at them."""
    op.execute("""CREATE INDEX lots_waiting ON points.lots (program, member, expires_at)
        WHERE pending > 0 AND awaits <> 'date'""")
    # Only wallets with points that wait: few, and none of them is locked for long.
    op.execute("""
        UPDATE points.wallets w
        SET releases_at = least(w.releases_at, l.ends_at), next_due_at = least(w.next_due_at, l.ends_at)
        FROM (SELECT lots.program, lots.member, min(coalesce(lots.expires_at, b.active_until)) AS ends_at
              FROM points.lots JOIN points.balances b USING (program, member, unit)
              WHERE lots.pending > 0 AND lots.awaits <> 'date' AND NOT lots.unfunded
              GROUP BY lots.program, lots.member) l
        WHERE w.program = l.program AND w.member = l.member AND l.ends_at IS NOT NULL""")


def downgrade() -> None:
    """Drop the index; dates that come too early harm nobody."""
    op.execute("DROP INDEX points.lots_waiting")
