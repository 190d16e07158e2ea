"""Vouchers of several kinds, used in parts: each use that stands is a row, found by what it was for.

Why: a voucher that is used in parts has many uses, each undone by its own reference, and a return finds the uses that it
gives back by theirs. To be run with the processes of redemption stopped: those of before write columns that are no more.
"""

from alembic import op

from migrations.partitions import partitions_of

revision = "redemption_0006"
down_revision = "redemption_0003"
branch_labels = None
depends_on = None

KEY = 'text COLLATE "C" NOT NULL'


def upgrade() -> None:
    """Add columns and the table, move the uses there are, and drop the columns they stood in."""
    partitions = partitions_of("redemption")
    op.execute(
        "ALTER TABLE redemption.vouchers ADD COLUMN remaining bigint, ADD COLUMN percent smallint, "
        "ADD COLUMN product text, ADD COLUMN parts boolean NOT NULL DEFAULT false, "
        "ADD COLUMN elsewhere boolean NOT NULL DEFAULT false"
    )
    op.execute(
        f"""CREATE TABLE redemption.voucher_uses (program {KEY}, member {KEY}, voucher {KEY}, partner {KEY},
        reference {KEY}, amount bigint, currency text,
        PRIMARY KEY (program, member, voucher, partner, reference)) PARTITION BY HASH (program, member)"""
    )
    for part in range(partitions):
        op.execute(
            f"CREATE TABLE redemption.voucher_uses_p{part} PARTITION OF redemption.voucher_uses "
            f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {part})"
        )
    op.execute("CREATE INDEX voucher_uses_by_reference ON redemption.voucher_uses (program, reference)")
    op.execute(
        "INSERT INTO redemption.voucher_uses (program, member, voucher, partner, reference, amount, currency) "
        "SELECT program, member, voucher, used_by, reference, value, currency FROM redemption.vouchers "
        "WHERE state = 'spent'"
    )
    op.execute(
        "UPDATE redemption.vouchers SET remaining = CASE state WHEN 'spent' THEN 0 ELSE value END "
        "WHERE value IS NOT NULL"
    )
    op.execute("ALTER TABLE redemption.vouchers DROP COLUMN reference, DROP COLUMN used_by")


def downgrade() -> None:
    """Drop nothing: uses are never forgotten."""
