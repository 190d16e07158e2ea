"""Members whose account became a part of another one.

Why: whoever asks for a member that was merged is answered for the one that it was merged into. The place of the event
that told so is kept beside it, because an instance that answers a caller may hear a later one first. Only columns with
constant defaults are added.
"""

from alembic import op

revision = "gateway_0005"
down_revision = "gateway_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen members."""
    op.execute("""ALTER TABLE gateway.members ADD COLUMN merged_into text COLLATE "C",
        ADD COLUMN merged_epoch integer NOT NULL DEFAULT 0, ADD COLUMN merged_sequence bigint NOT NULL DEFAULT 0""")


def downgrade() -> None:
    """Drop nothing: what callers asked is never taken back."""
    raise NotImplementedError
