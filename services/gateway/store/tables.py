"""The schema `gateway` as SQLAlchemy describes it; migrations make it, and a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from laurel.io.tables import hash_partitioned, messaging_tables

metadata = MetaData()
messaging_tables(metadata, "gateway")


def _key(name: str) -> Column[str]:
    return Column(name, Text(collation="C"), nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _instant(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


partners = Table(
    "partners",
    metadata,
    _key("partner"),
    Column("name", Text),
    _key("created_by"),
    _instant("created_at"),
    _instant("updated_at"),
    PrimaryKeyConstraint("partner"),
    schema="gateway",
)
"""Who reports, redeems or pays. created_by: the partner whose key made it, which may see it."""

api_keys = Table(
    "api_keys",
    metadata,
    _key("key"),
    _key("prefix"),
    Column("hash", LargeBinary, nullable=False),
    _key("partner"),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("programs", ARRAY(Text), nullable=False),
    Column("adjust_limit", BigInteger),
    _instant("expires_at", nullable=True),
    _instant("created_at"),
    Column("created_by", Text),
    _instant("revoked_at", nullable=True),
    Column("old_prefix", Text(collation="C")),
    Column("old_hash", LargeBinary),
    _instant("old_until", nullable=True),
    Column("rate_limit", Integer),
    PrimaryKeyConstraint("key"),
    UniqueConstraint("prefix", name="api_keys_prefix_key"),
    Index("api_keys_old_prefix", "old_prefix", unique=True),
    Index("api_keys_partner", "partner"),
    schema="gateway",
)
"""Keys by the prefix of their secret; of the secret only its hash. programs {*}: all of them. The secret before the
last rotation is good until old_until. rate_limit: requests a second, where it is not the settings' own."""

audit = Table(
    "audit",
    metadata,
    _key("id"),
    _instant("at"),
    _key("key"),
    _key("partner"),
    Column("program", Text(collation="C")),
    _key("action"),
    Column("target", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    PrimaryKeyConstraint("id"),
    Index("audit_program", "program", "id"),
    Index("audit_partner", "partner", "id"),
    schema="gateway",
)
"""Append-only: who changed what, by which request, and the hashes of what was there before and is there after."""

programs = Table(
    "programs",
    metadata,
    _key("program"),
    Column("version", Integer, nullable=False),
    Column("clock", Text, nullable=False),
    _instant("as_of", nullable=True),
    _instant("changed_at"),
    _instant("turning_to", nullable=True),
    Column("turned", LargeBinary),
    Column("partners", Integer, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("program"),
    schema="gateway",
)
"""The newest version of each program and, on a manual clock, its now. While the clock is being turned, turning_to
says where to; turned is what points told of the last turn. partners is the newest version of their terms."""

partner_terms = Table(
    "partner_terms",
    metadata,
    _key("program"),
    Column("version", Integer, nullable=False),
    _key("partner"),
    Column("state", Text, nullable=False),
    _instant("since", nullable=True),
    Column("billing", Text, nullable=False),
    Column("scores", LargeBinary),
    _instant("published_at"),
    PrimaryKeyConstraint("program", "version"),
    Index("partner_terms_partner", "program", "partner", "version"),
    schema="gateway",
)
"""Append-only: what is said of the partners of each program, counted over all of them. Without since it holds from the
beginning."""

program_versions = Table(
    "program_versions",
    metadata,
    _key("program"),
    Column("version", Integer, nullable=False),
    Column("hash", Text, nullable=False),
    Column("document", LargeBinary, nullable=False),
    _instant("effective_from"),
    _instant("published_at"),
    PrimaryKeyConstraint("program", "version"),
    schema="gateway",
)
"""Append-only: every version as it was published."""

members = hash_partitioned(
    "members",
    metadata,
    _key("program"),
    _key("member"),
    Column("status", Text, nullable=False),
    _instant("enrolled_at"),
    Column("person", Text),
    Column("referred_by", Text),
    Column("attributes", LargeBinary, nullable=False),
    Column("tier", LargeBinary),
    Column("balances", LargeBinary),
    _count("version"),
    Column("epoch", Integer, nullable=False, server_default=text("0")),
    _count("sequence"),
    _instant("created_at"),
    _flag("delayed"),
    Column("merged_into", Text(collation="C")),
    Column("merged_epoch", Integer, nullable=False, server_default=text("0")),
    _count("merged_sequence"),
    Column("household", Text(collation="C")),
    Column("key", LargeBinary),
    PrimaryKeyConstraint("program", "member"),
    schema="gateway",
)
"""Who is a member (decided here), and the summary that points' events tell, up to epoch and sequence. Who is
merged says into whom, as the event at merged_epoch and merged_sequence told. key seals what is known of the person, and
is itself sealed; without it all of that is unreadable."""

service_keys = Table(
    "service_keys",
    metadata,
    _key("name"),
    Column("sealed", LargeBinary, nullable=False),
    PrimaryKeyConstraint("name"),
    schema="gateway",
)
"""Keys of the service itself, sealed: what identifiers are hashed by."""

households = hash_partitioned(
    "households",
    metadata,
    _key("program"),
    _key("household"),
    Column("members", LargeBinary, nullable=False),
    Column("pooling", Boolean, nullable=False),
    _key("request"),
    _instant("created_at"),
    PrimaryKeyConstraint("program", "household"),
    schema="gateway",
    by="program, household",
)
"""Who shares a wallet; request is the id of the one that made it what it is."""

identifiers = hash_partitioned(
    "identifiers",
    metadata,
    _key("program"),
    _key("scheme"),
    Column("hash", LargeBinary, nullable=False),
    _key("member"),
    _instant("created_at"),
    _instant("blocked_at", nullable=True),
    Column("sealed", LargeBinary),
    PrimaryKeyConstraint("program", "scheme", "hash"),
    Index("identifiers_member", "program", "member"),
    schema="gateway",
    by="program, scheme, hash",
)
"""Whose identifier it is, by its keyed hash, and itself sealed under the member's key. A blocked one stays, and finds
nobody; when its member is erased it is nobody's."""

member_details = hash_partitioned(
    "member_details",
    metadata,
    _key("program"),
    _key("member"),
    _key("detail"),
    Column("body", LargeBinary, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    PrimaryKeyConstraint("program", "member", "detail"),
    schema="gateway",
)
"""What points' events tell of a member only when it moves, each under a name and as of its own event: what is known of
the member, and each counter in its window."""

requests = hash_partitioned(
    "requests",
    metadata,
    _key("program"),
    _key("kind"),
    _key("partner"),
    _key("id"),
    Column("attempt", Integer, nullable=False),
    Column("hash", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("member", Text),
    Column("subject", Text),
    Column("code", Text),
    Column("outcome", LargeBinary),
    Column("body", LargeBinary),
    Column("batch", Text),
    Column("line", BigInteger),
    _flag("delayed"),
    _instant("created_at"),
    _instant("answered_at", nullable=True),
    PrimaryKeyConstraint("program", "kind", "partner", "id"),
    schema="gateway",
    by="program, id",
)
"""What was asked, for ever, and what came of it: pending, posted, refused, or freed to be asked again.

`body` is kept where nobody was asked yet: a purchase whose member is not known, until it is claimed.
"""

redemptions = hash_partitioned(
    "redemptions",
    metadata,
    _key("program"),
    _key("redemption"),
    _key("partner"),
    _key("member"),
    _key("reward"),
    _key("request"),
    Column("state", Text, nullable=False),
    Column("body", LargeBinary),
    Column("epoch", Integer, nullable=False, server_default=text("0")),
    _count("sequence"),
    _instant("created_at"),
    PrimaryKeyConstraint("program", "redemption"),
    schema="gateway",
    by="program, redemption",
)
"""Redemptions as redemption's events tell them; request is the id of the row in requests."""

rewards = Table(
    "rewards",
    metadata,
    _key("program"),
    _key("reward"),
    Column("document", LargeBinary, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    _instant("published_at"),
    PrimaryKeyConstraint("program", "reward"),
    schema="gateway",
)
"""The catalogue as redemption's events tell it."""

batches = Table(
    "batches",
    metadata,
    _key("program"),
    _key("batch"),
    _key("partner"),
    Column("state", Text, nullable=False),
    _count("received"),
    _count("read_through"),
    _count("asked"),
    _count("unearned"),
    _count("rejected"),
    _count("duplicate"),
    _count("following"),
    _count("body_offset"),
    _flag("broken"),
    _instant("created_at"),
    _instant("touched_at"),
    _instant("finished_at", nullable=True),
    _count("lines_read"),
    Column("writer", Text, nullable=False, server_default=text("''")),
    Column("mapping", LargeBinary),
    Column("header", LargeBinary),
    PrimaryKeyConstraint("program", "batch"),
    Index("batches_open", "created_at", postgresql_where=text("finished_at is null")),
    schema="gateway",
)
"""A file of activities and what is counted on the way in. Lines up to read_through had their turn. body_offset and
lines_read say where its reading stands, writer who sends it now; mapping and header, for a CSV, what columns mean."""

operations = hash_partitioned(
    "operations",
    metadata,
    _key("program"),
    _key("kind"),
    _key("id"),
    _key("partner"),
    _key("member"),
    _key("request"),
    Column("note", Text),
    Column("state", Text, nullable=False),
    Column("body", LargeBinary),
    Column("epoch", Integer, nullable=False, server_default=text("0")),
    _count("sequence"),
    _instant("created_at"),
    Column("sealed_note", LargeBinary),
    PrimaryKeyConstraint("program", "kind", "id"),
    Index("operations_member", "program", "member"),
    schema="gateway",
    by="program, id",
)
"""What callers do with a wallet itself: holds, adjustments, transfers; body is how points last told that it stands.
sealed_note is the caller's own words, which no event carries; those in note were written before they were sealed."""

batch_outcomes = Table(
    "batch_outcomes",
    metadata,
    _key("program"),
    _key("batch"),
    _count("posted"),
    _count("refused"),
    _count("delayed"),
    PrimaryKeyConstraint("program", "batch"),
    schema="gateway",
)
"""What is counted on the way back, apart from `batches`, so that the two ways never wait for each other.

`delayed` are the lines without an outcome that wait for something parked; they leave room for others.
"""

batch_lines = hash_partitioned(
    "batch_lines",
    metadata,
    _key("program"),
    _key("batch"),
    Column("line", BigInteger, nullable=False),
    _key("partner"),
    _key("id"),
    Column("member", Text),
    Column("hash", Text, nullable=False),
    _instant("occurred_at"),
    Column("of_id", Text),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("program", "batch", "line"),
    schema="gateway",
    by="program, batch",
)
"""Append-only: the lines of a file that are right by themselves, members resolved."""

batch_faults = hash_partitioned(
    "batch_faults",
    metadata,
    _key("program"),
    _key("batch"),
    Column("line", BigInteger, nullable=False),
    Column("id", Text),
    Column("state", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("errors", LargeBinary, nullable=False),
    PrimaryKeyConstraint("program", "batch", "line"),
    schema="gateway",
    by="program, batch",
)
"""Append-only: lines that were rejected on arrival, or refused."""

batch_following = hash_partitioned(
    "batch_following",
    metadata,
    _key("program"),
    _key("batch"),
    Column("line", BigInteger, nullable=False),
    _key("partner"),
    _key("id"),
    PrimaryKeyConstraint("program", "batch", "line"),
    schema="gateway",
    by="program, batch",
)
"""Lines that repeat a request whose outcome is not known yet; a batch is not done before they are."""

batch_giving_back = Table(
    "batch_giving_back",
    metadata,
    _key("program"),
    _key("batch"),
    Column("line", BigInteger, nullable=False),
    Column("told", LargeBinary, nullable=False),
    PrimaryKeyConstraint("program", "batch", "line"),
    schema="gateway",
)
"""Lines whose returns gave back what redemption has yet to show; a batch is not done before it does."""

batch_awarded = Table(
    "batch_awarded",
    metadata,
    _key("program"),
    _key("batch"),
    _key("unit"),
    Column("amount", Numeric(30, 0), nullable=False),
    PrimaryKeyConstraint("program", "batch", "unit"),
    schema="gateway",
)
"""What the lines of a batch were awarded, by unit."""

batch_turn = Table(
    "batch_turn",
    metadata,
    Column("only", Boolean, nullable=False, server_default=text("true")),
    PrimaryKeyConstraint("only"),
    CheckConstraint('"only"', name="batch_turn_only"),
    schema="gateway",
)
"""One row: whoever holds it moves lines of batches to the outbox."""

event_head = Table(
    "event_head",
    metadata,
    Column("only", Boolean, nullable=False, server_default=text("true")),
    Column("position", BigInteger, nullable=False),
    PrimaryKeyConstraint("only"),
    CheckConstraint('"only"', name="event_head_only"),
    schema="gateway",
)
"""One row: the position of the newest event."""

events = Table(
    "events",
    metadata,
    Column("position", BigInteger, nullable=False, autoincrement=False),
    _key("program"),
    _key("member"),
    Column("type", Text, nullable=False),
    Column("partner", Text),
    Column("source", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("event", LargeBinary, nullable=False),
    _instant("created_at"),
    PrimaryKeyConstraint("position"),
    schema="gateway",
)
"""Append-only, dropped from its beginning: what others may hear, as CloudEvents JSON; partner: who asked for it."""

webhooks = Table(
    "webhooks",
    metadata,
    _key("webhook"),
    _key("partner"),
    _key("created_by"),
    Column("url", Text, nullable=False),
    Column("types", ARRAY(Text), nullable=False),
    Column("programs", ARRAY(Text), nullable=False),
    Column("own_only", Boolean, nullable=False),
    Column("generation", Integer, nullable=False, server_default=text("1")),
    _instant("before_until", nullable=True),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    _instant("changed_at"),
    _instant("created_at"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    Column("position", BigInteger, nullable=False),
    _instant("failing_since", nullable=True),
    Column("last_error", Text),
    _instant("delivered_at", nullable=True),
    _instant("missed_at", nullable=True),
    Column("holder", Text(collation="C"), nullable=False, server_default=text("''")),
    Column("held_until", DateTime(timezone=True), nullable=False, server_default=text("'-infinity'")),
    PrimaryKeyConstraint("webhook"),
    Index("webhooks_partner", "partner", "webhook"),
    schema="gateway",
)
"""Who is told what, where. Everything up to position was told or lies in deliveries; holder is the worker that tells.
generation and before_until say which secrets sign; own_only: only what its partner asked for."""

deliveries = Table(
    "deliveries",
    metadata,
    _key("webhook"),
    Column("position", BigInteger, nullable=False),
    _key("program"),
    _key("member"),
    Column("type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    _instant("next_at", nullable=True),
    Column("status", Integer),
    Column("error", Text),
    _instant("first_at", nullable=True),
    _instant("tried_at", nullable=True),
    PrimaryKeyConstraint("webhook", "position"),
    Index("deliveries_waiting", "webhook", "position", postgresql_where=text("state = 'waiting'")),
    schema="gateway",
)
"""What became of each event that a webhook was to be told, for as long as the event is kept."""

callers = Table(
    "callers",
    metadata,
    Column("only", Boolean, nullable=False, server_default=text("true")),
    Column("seen_at", DateTime(timezone=True), nullable=False, server_default=text("'-infinity'")),
    PrimaryKeyConstraint("only"),
    CheckConstraint('"only"', name="callers_only"),
    schema="gateway",
)
"""One row: when a caller who waits for an outcome was last seen."""
