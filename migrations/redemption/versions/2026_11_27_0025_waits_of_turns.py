"""Waits that end in the middle of a turn of a clock: how far points have come, and how many waits that ended.

Why: what is due after a wait sees what it gave back, so points rest until redemption has ended it and says so.
"""

from alembic import op

revision = "redemption_0025"
down_revision = "redemption_0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.execute(
        """CREATE TABLE redemption.turn_waits (program text COLLATE "C" NOT NULL, as_of timestamptz NOT NULL,
        until timestamptz NOT NULL, ended bigint NOT NULL DEFAULT 0, done boolean NOT NULL DEFAULT false,
        message text NOT NULL, correlation text NOT NULL, traceparent text NOT NULL,
        PRIMARY KEY (program, as_of, until))"""
    )


def downgrade() -> None:
    """Drop nothing: it counts what turns have ended."""
    raise NotImplementedError
