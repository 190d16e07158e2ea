"""The schema `points` as SQLAlchemy describes it; migrations make it, and a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from laurel.io.tables import hash_partitioned, messaging_tables

metadata = MetaData()
messaging_tables(metadata, "points")


def _key(name: str) -> Column[str]:
    return Column(name, Text(collation="C"), nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _instant(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


programs = Table(
    "programs",
    metadata,
    _key("program"),
    Column("version", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
    _instant("effective_from"),
    _instant("published_at"),
    PrimaryKeyConstraint("program", "version"),
    schema="points",
)
"""Copies of laurel.programs.v1: every version that a wallet here was or may be judged by."""

wallets = hash_partitioned(
    "wallets",
    metadata,
    _key("program"),
    _key("member"),
    Column("status", Text, nullable=False),
    _instant("at"),
    Column("version", BigInteger, nullable=False),
    _instant("enrolled_at", nullable=True),
    Column("person", Text),
    Column("attributes", LargeBinary),
    _instant("next_due_at", nullable=True),
    _instant("hold_expires_at", nullable=True),
    _instant("occurred_at", nullable=True),
    _instant("turned_to", nullable=True),
    _instant("converts_at", nullable=True),
    Column("merged_into", Text(collation="C")),
    Column("merged_in", BigInteger),
    Column("household", LargeBinary),
    _instant("releases_at", nullable=True),
    Column("referred_by", Text(collation="C")),
    _instant("birthday_at", nullable=True),
    PrimaryKeyConstraint("program", "member"),
    Index("wallets_due", "next_due_at", postgresql_where=text("next_due_at is not null")),
    schema="points",
)
"""One row a member; its lock is the lock of all that the member owns. version = last journal.

A member that is merged says into whom, and by which of its journals."""

balances = hash_partitioned(
    "balances",
    metadata,
    _key("program"),
    _key("member"),
    _key("unit"),
    _count("available"),
    _count("pending"),
    _count("held"),
    _count("owed"),
    _count("earned"),
    _count("spent"),
    _count("expired"),
    _count("reversed"),
    _count("adjusted"),
    _instant("active_until", nullable=True),
    _instant("next_expiry_at", nullable=True),
    _count("next_expiry_amount"),
    PrimaryKeyConstraint("program", "member", "unit"),
    schema="points",
)
"""Totals per unit: available + held - owed = earned - spent - expired - reversed + adjusted."""

journals = hash_partitioned(
    "journals",
    metadata,
    _key("program"),
    _key("member"),
    Column("journal", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("partner", Text, nullable=False, server_default=text("''")),
    _instant("at"),
    _instant("occurred_at"),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("message", Text, nullable=False, server_default=text("''")),
    Column("facts", LargeBinary, nullable=False),
    Column("body", LargeBinary),
    PrimaryKeyConstraint("program", "member", "journal"),
    schema="points",
)
"""Append-only: one decision a row, with its facts; numbered without gap in each wallet."""

entries = hash_partitioned(
    "entries",
    metadata,
    _key("program"),
    _key("member"),
    Column("journal", BigInteger, nullable=False),
    Column("entry", SmallInteger, nullable=False),
    _key("unit"),
    _key("account"),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("program", "member", "journal", "entry"),
    schema="points",
)
"""Append-only double entry: the entries of a journal sum to zero per unit."""

lots = hash_partitioned(
    "lots",
    metadata,
    _key("program"),
    _key("member"),
    Column("journal", BigInteger, nullable=False),
    Column("lot", SmallInteger, nullable=False),
    _key("unit"),
    Column("rule", Text, nullable=False),
    Column("activity", Text, nullable=False),
    Column("partner", Text, nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("remaining", BigInteger, nullable=False),
    _count("held"),
    _count("expired"),
    _instant("earned_at"),
    _instant("available_at"),
    _instant("expires_at", nullable=True),
    Column("funder", Text, nullable=False),
    Column("version", Integer, nullable=False),
    _count("pending"),
    Column("awaits", Text, nullable=False, server_default=text("''")),
    Column("unfunded", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("program", "member", "journal", "lot"),
    Index(
        "lots_spendable",
        "program",
        "member",
        "unit",
        "expires_at",
        "earned_at",
        "journal",
        "lot",
        postgresql_where=text("remaining > held"),
    ),
    Index("lots_pending", "program", "member", "awaits", "available_at", postgresql_where=text("pending > 0")),
    Index(
        "lots_waiting",
        "program",
        "member",
        "expires_at",
        postgresql_where=text("pending > 0 and awaits <> 'date'"),
    ),
    schema="points",
)
"""One lot a grant; spending order is the order of lots_spendable. Pending points are in none of the other numbers."""

holds = hash_partitioned(
    "holds",
    metadata,
    _key("program"),
    _key("member"),
    _key("hold"),
    _key("unit"),
    Column("amount", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("saga", Boolean, nullable=False),
    Column("parts", LargeBinary, nullable=False),
    Column("journal", BigInteger, nullable=False),
    _instant("expires_at", nullable=True),
    Column("partner", Text, nullable=False, server_default=text("''")),
    Column("reference", Text, nullable=False, server_default=text("''")),
    _count("captured"),
    _count("cancelled"),
    _instant("waits_until", nullable=True),
    PrimaryKeyConstraint("program", "member", "hold"),
    Index(
        "holds_open",
        "program",
        "member",
        "expires_at",
        postgresql_where=text("state = 'held' and expires_at is not null"),
    ),
    Index(
        "holds_waiting",
        "program",
        "waits_until",
        postgresql_where=text("state = 'held' and waits_until is not null"),
    ),
    schema="points",
)
"""Points set aside: held, captured, released, expired, cancelled or refused. captured is net of cancelled. waits_until
is when a sandbox's clock ends the wait of a redemption."""

adjustments = hash_partitioned(
    "adjustments",
    metadata,
    _key("program"),
    _key("member"),
    _key("adjustment"),
    _key("unit"),
    Column("amount", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("partner", Text, nullable=False),
    _instant("expires_at", nullable=True),
    _count("waiting"),
    Column("corrects", Text, nullable=False, server_default=text("''")),
    Column("corrected", Boolean, nullable=False, server_default=text("false")),
    _count("journal"),
    _count("reversed"),
    _count("written_off"),
    _count("bonus"),
    _count("owed"),
    PrimaryKeyConstraint("program", "member", "adjustment"),
    schema="points",
)
"""Changes by a person's decision: waiting, posted, refused or rejected. journal is the one whose lot it made."""

turns = Table(
    "turns",
    metadata,
    _key("program"),
    _instant("as_of"),
    Column("message", Text, nullable=False),
    Column("correlation", Text, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("after", Text(collation="C"), nullable=False, server_default=text("''")),
    _count("released"),
    _count("holds_timed_out"),
    _count("lots_expired"),
    _count("tiers_changed"),
    _count("converted"),
    Column("done", Boolean, nullable=False, server_default=text("false")),
    Column("walk", Integer, nullable=False, server_default=text("0")),
    Column("in_hand", Integer, nullable=False, server_default=text("0")),
    _instant("part_to", nullable=True),
    _instant("waits_to", nullable=True),
    _instant("waited_to", nullable=True),
    PrimaryKeyConstraint("program", "as_of"),
    schema="points",
)
"""The turns of manual clocks: what each brought about. In its present walk an open one has handed out the members up to
`after`, of which `in_hand` pages are not done yet; it does what is due up to `part_to`. While redemption ends waits it
rests (`waits_to`); those up to `waited_to` are over."""

activities = hash_partitioned(
    "activities",
    metadata,
    _key("program"),
    _key("partner"),
    _key("activity"),
    _key("member"),
    Column("journal", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("code", Text),
    PrimaryKeyConstraint("program", "partner", "activity"),
    schema="points",
    by="program, activity",
)
"""Every activity id for ever, with hash and outcome (S8); code is null where it was posted."""

returns = hash_partitioned(
    "returns",
    metadata,
    _key("program"),
    _key("member"),
    Column("of_journal", BigInteger, nullable=False),
    Column("journal", BigInteger, nullable=False),
    PrimaryKeyConstraint("program", "member", "of_journal", "journal"),
    schema="points",
)
"""Which journals of returns and refills belong to which original."""

counters = hash_partitioned(
    "counters",
    metadata,
    _key("program"),
    _key("member"),
    _key("counter"),
    _instant("window_start"),
    _instant("window_end", nullable=True),
    Column("unit", Text, nullable=False),
    Column("counted", BigInteger, nullable=False),
    Column("bound", BigInteger),
    Column("given_in", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("program", "member", "counter", "window_start"),
    schema="points",
)
"""What is counted of a member in a window: points granted under a cap, how often a rule earned, or what a threshold
adds up, with the journal that gave its bonus.
"""

refusals = hash_partitioned(
    "refusals",
    metadata,
    _key("program"),
    _key("member"),
    Column("journal", BigInteger, nullable=False),
    _key("rule"),
    Column("unit", Text, nullable=False),
    _key("counter"),
    _instant("window_start"),
    _instant("occurred_at"),
    Column("refused", BigInteger, nullable=False),
    PrimaryKeyConstraint("program", "member", "journal", "rule"),
    Index(
        "refusals_open",
        "program",
        "member",
        "counter",
        "window_start",
        "occurred_at",
        "journal",
        "rule",
        postgresql_where=text("refused > 0"),
    ),
    schema="points",
)
"""What a window's cap refused and a return may still make room for; the order of refills is that of refusals_open."""

exclusive_keys = hash_partitioned(
    "exclusive_keys",
    metadata,
    _key("exclusive_group"),
    _key("exclusive_key"),
    Column("program", Text(collation="C")),
    Column("member", Text(collation="C")),
    Column("journal", BigInteger),
    PrimaryKeyConstraint("exclusive_group", "exclusive_key"),
    schema="points",
    by="exclusive_group, exclusive_key",
)
"""What may be credited once in a group of programs, and where it was; without a program nobody took it yet."""

partner_terms = Table(
    "partner_terms",
    metadata,
    _key("program"),
    Column("version", Integer, nullable=False),
    _key("partner"),
    Column("state", Text, nullable=False),
    _instant("since", nullable=True),
    Column("billing", Text, nullable=False),
    PrimaryKeyConstraint("program", "version"),
    schema="points",
)
"""Copies of what laurel.programs.v1 says of partners, one version a row."""

blocks = Table(
    "blocks",
    metadata,
    _key("program"),
    _key("partner"),
    _key("unit"),
    _count("units"),
    _count("used"),
    _count("queued"),
    PrimaryKeyConstraint("program", "partner", "unit"),
    schema="points",
)
"""What partners have paid for in advance, and what is used of it; locked by whoever may draw from it.

queued is the last number given out in its queue.
"""

block_payments = Table(
    "block_payments",
    metadata,
    _key("program"),
    _key("partner"),
    _key("reference"),
    _key("unit"),
    Column("units", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    _instant("at"),
    _instant("as_of", nullable=True),
    Column("versions", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("correlation", Text, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("after", BigInteger, nullable=False, server_default=text("0")),
    Column("done", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("program", "partner", "reference"),
    Index("block_payments_open", "program", "partner", "reference", postgresql_where=text("not done")),
    schema="points",
)
"""What was paid in advance, for ever. An open one has gone through the queue up to `after`."""

funding_queue = hash_partitioned(
    "funding_queue",
    metadata,
    _key("program"),
    _key("member"),
    Column("journal", BigInteger, nullable=False),
    _key("funder"),
    _key("unit"),
    Column("number", BigInteger, nullable=False),
    _key("partner"),
    _key("activity"),
    Column("message", Text, nullable=False),
    Column("correlation", Text, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("funded_in", BigInteger),
    Column("funded_by", Text(collation="C")),
    PrimaryKeyConstraint("program", "member", "journal"),
    Index("funding_queue_open", "program", "funder", "unit", "number", postgresql_where=text("funded_in is null")),
    Index(
        "funding_queue_done",
        "program",
        "funder",
        "funded_by",
        "member",
        "journal",
        postgresql_where=text("funded_by is not null"),
    ),
    schema="points",
)
"""Activities that wait for a block, in the order of their numbers; funded_in is the journal in which they left."""

budgets = Table(
    "budgets",
    metadata,
    _key("program"),
    _key("rule"),
    _count("drawn"),
    PrimaryKeyConstraint("program", "rule"),
    schema="points",
)
"""What a rule has granted to all members together, where that has an end; locked by whoever may draw from it."""

tiers = hash_partitioned(
    "tiers",
    metadata,
    _key("program"),
    _key("member"),
    Column("tier", Text, nullable=False),
    _instant("since_at"),
    _instant("until_at", nullable=True),
    Column("journal", BigInteger, nullable=False),
    Column("standing", LargeBinary, nullable=False),
    Column("stood", LargeBinary, nullable=False),
    PrimaryKeyConstraint("program", "member"),
    schema="points",
)
"""Where a member stands, and where it stood before; without a row on the first tier."""

tier_counts = hash_partitioned(
    "tier_counts",
    metadata,
    _key("program"),
    _key("member"),
    _key("grain"),
    Column("day", Date, nullable=False),
    _key("unit"),
    Column("amount", BigInteger, nullable=False),
    PrimaryKeyConstraint("program", "member", "grain", "day", "unit"),
    schema="points",
)
"""What counts towards tiers, by day, by year that starts on the day, or in one sum."""

segments = hash_partitioned(
    "segments",
    metadata,
    _key("program"),
    _key("member"),
    Column("names", ARRAY(Text), nullable=False),
    Column("held", LargeBinary, nullable=False),
    Column("past", LargeBinary, nullable=False),
    PrimaryKeyConstraint("program", "member"),
    schema="points",
)
"""To which segments a member belongs, by name and in full, and did before; without a row to none ever."""

measured = hash_partitioned(
    "measured",
    metadata,
    _key("program"),
    _key("member"),
    _key("segment"),
    Column("measure", BigInteger, nullable=False),
    PrimaryKeyConstraint("program", "member", "segment"),
    Index("measured_order", "program", "segment", "measure"),
    schema="points",
)
"""What a judgement of all members that is on its way has measured; a row goes when its member is judged."""

judgements = Table(
    "judgements",
    metadata,
    _key("program"),
    _instant("at"),
    Column("state", Text, nullable=False),
    Column("after", Text(collation="C"), nullable=False, server_default=text("''")),
    Column("cuts", LargeBinary),
    PrimaryKeyConstraint("program", "at"),
    schema="points",
)
"""The judgements of segments: measuring, then judging the members up to `after`, then done; cuts is what rankings
came to."""

person_counts = hash_partitioned(
    "person_counts",
    metadata,
    _key("program"),
    _key("person"),
    _key("counter"),
    _instant("window_start"),
    _count("counted"),
    PrimaryKeyConstraint("program", "person", "counter", "window_start"),
    schema="points",
    by="program, person",
)
"""How often all members of a person earned by a rule in a window; locked after the wallets, like budgets."""
