"""Count the lines of a batch, and note the enrolments, that wait for something parked.

Why: only so many lines may be with points at a time, and lines that cannot go on took that room from every other
file. A count kept beside the outcomes costs no query where nothing is parked, and no index on the table of requests.
From here on `requests.delayed` stays as it was when the outcome comes: what says that a request waits is that it is
pending and delayed. An enrolment has no request, so its member says it.
"""

from alembic import op

revision = "gateway_0003"
down_revision = "gateway_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add note and count, and count what waits already."""
    op.execute("ALTER TABLE gateway.members ADD COLUMN delayed boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE gateway.batch_outcomes ADD COLUMN delayed bigint NOT NULL DEFAULT 0")
    op.execute("""
        UPDATE gateway.batch_outcomes o SET delayed = r.delayed
        FROM (SELECT q.program, q.batch, count(*) AS delayed FROM gateway.requests q
              JOIN gateway.batches b ON b.program = q.program AND b.batch = q.batch AND b.finished_at IS NULL
              WHERE q.state = 'pending' AND q.delayed GROUP BY q.program, q.batch) r
        WHERE o.program = r.program AND o.batch = r.batch
    """)


def downgrade() -> None:
    """Drop nothing: what callers asked is never taken back."""
