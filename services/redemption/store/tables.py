"""The schema `redemption` as SQLAlchemy describes it; migrations make it, and a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
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

from laurel.io.tables import hash_partitioned, key_text, messaging_tables

SCHEMA = "redemption"

metadata = MetaData()
messaging_tables(metadata, SCHEMA)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=text("''"))


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _instant(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


members = hash_partitioned(
    "members",
    metadata,
    key_text("program"),
    key_text("member"),
    # The key under which the member's voucher codes are sealed, itself sealed; forgetting it forgets them.
    Column("key", LargeBinary),
    # Set once the member was erased: it gets no key any more.
    _instant("erased_at", nullable=True),
    PrimaryKeyConstraint("program", "member"),
    schema=SCHEMA,
)

service_keys = Table(
    "service_keys",
    metadata,
    key_text("name"),
    Column("sealed", LargeBinary, nullable=False),
    PrimaryKeyConstraint("name"),
    schema=SCHEMA,
)
"""Keys of the service itself, sealed: what codes are hashed by."""

rewards = Table(
    "rewards",
    metadata,
    key_text("program"),
    key_text("reward"),
    Column("version", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
    _instant("at"),
    Column("message", Text, nullable=False),
    _instant("effective_from", nullable=True),
    PrimaryKeyConstraint("program", "reward", "version"),
    schema=SCHEMA,
)

resources = Table(
    "resources",
    metadata,
    key_text("program"),
    key_text("resource"),
    Column("version", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
    _instant("at"),
    Column("message", Text, nullable=False),
    PrimaryKeyConstraint("program", "resource", "version"),
    schema=SCHEMA,
)

tallies = hash_partitioned(
    "tallies",
    metadata,
    key_text("program"),
    # Seats of a resource on a day, a limit of somebody in a window, or a thing that may be bought with once.
    key_text("name"),
    _count("used"),
    PrimaryKeyConstraint("program", "name"),
    CheckConstraint("used >= 0", name="tally_counts"),
    schema=SCHEMA,
    by="program, name",
)

stock = Table(
    "stock",
    metadata,
    key_text("program"),
    key_text("reward"),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("total", BigInteger),
    _count("reserved"),
    _count("taken"),
    PrimaryKeyConstraint("program", "reward"),
    CheckConstraint("reserved >= 0 AND taken >= 0", name="stock_counts"),
    schema=SCHEMA,
)

sagas = hash_partitioned(
    "sagas",
    metadata,
    key_text("program"),
    key_text("member"),
    key_text("redemption"),
    Column("state", Text, nullable=False),
    Column("hold", Text, nullable=False),
    Column("partner", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("reward", Text(collation="C"), nullable=False),
    Column("reward_version", Integer, nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("zone", Text, nullable=False),
    Column("correlation", Text, nullable=False),
    _text("code"),
    Column("counted", Boolean, nullable=False),
    _instant("waits_until", nullable=True),
    # Finished only when somebody confirms; its wait is ended by the program's own clock.
    Column("later", Boolean, nullable=False, server_default=text("false")),
    Column("manual", Boolean, nullable=False, server_default=text("false")),
    Column("lots", LargeBinary, nullable=False, server_default=text("'[]'")),
    _text("cancelled_by"),
    _text("cancelling"),
    # What a partner that fulfils calls it, and whether that partner keeps everybody waiting.
    _text("reference"),
    Column("delayed", Boolean, nullable=False, server_default=text("false")),
    _instant("at"),
    Column("step", Integer, nullable=False),
    _text("outcome_type"),
    Column("outcome", LargeBinary, nullable=False),
    # What was agreed: price, payment, and what the saga has of seats, limits and one-time keys.
    Column("bargain", LargeBinary, nullable=False, server_default=text("'{}'")),
    PrimaryKeyConstraint("program", "member", "redemption"),
    schema=SCHEMA,
)
Index("sagas_waiting", sagas.c.waits_until, postgresql_where=text("waits_until is not null and not manual"))
Index(
    "sagas_waiting_in",
    sagas.c.program,
    sagas.c.waits_until,
    postgresql_where=text("waits_until is not null and manual"),
)
Index("sagas_releasing_in", sagas.c.program, postgresql_where=text("manual and hold = 'release_asked'"))

saga_decisions = hash_partitioned(
    "saga_decisions",
    metadata,
    key_text("program"),
    key_text("member"),
    key_text("redemption"),
    Column("step", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    _instant("at"),
    Column("facts", LargeBinary, nullable=False),
    PrimaryKeyConstraint("program", "member", "redemption", "step"),
    schema=SCHEMA,
)

vouchers = hash_partitioned(
    "vouchers",
    metadata,
    key_text("program"),
    key_text("member"),
    key_text("voucher"),
    Column("redemption", Text(collation="C"), nullable=False),
    Column("number", SmallInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("value", BigInteger),
    Column("currency", Text),
    _instant("issued_at"),
    _instant("expires_at", nullable=True),
    Column("suffix", Text, nullable=False),
    # The code as a keyed hash, for look-up, and sealed under the member's key, for display.
    Column("digest", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    _text("conversion"),
    Column("not_above_basket", Boolean, nullable=False, server_default=text("false")),
    _instant("turned_to", nullable=True),
    Column("step", Integer, nullable=False, server_default=text("0")),
    # What its uses have left of its value.
    Column("remaining", BigInteger),
    Column("percent", SmallInteger),
    Column("product", Text),
    Column("parts", Boolean, nullable=False, server_default=text("false")),
    Column("elsewhere", Boolean, nullable=False, server_default=text("false")),
    _text("share_of"),
    PrimaryKeyConstraint("program", "member", "voucher"),
    schema=SCHEMA,
)
Index("vouchers_by_code", vouchers.c.program, vouchers.c.digest)
Index(
    "vouchers_by_redemption",
    vouchers.c.program,
    vouchers.c.redemption,
    postgresql_where=text("redemption <> ''"),
)
Index("vouchers_ending", vouchers.c.program, vouchers.c.expires_at, postgresql_where=text("state = 'issued'"))
Index("vouchers_turned", vouchers.c.program, vouchers.c.turned_to, postgresql_where=text("turned_to is not null"))

voucher_decisions = hash_partitioned(
    "voucher_decisions",
    metadata,
    key_text("program"),
    key_text("member"),
    key_text("voucher"),
    Column("step", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    _instant("at"),
    Column("facts", LargeBinary, nullable=False),
    PrimaryKeyConstraint("program", "member", "voucher", "step"),
    schema=SCHEMA,
)

partner_codes = Table(
    "partner_codes",
    metadata,
    key_text("program"),
    Column("digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("program", "digest"),
    schema=SCHEMA,
)
"""Within a program a code is that of one voucher, whoever gave it, at whatever moment: by a pool or by an answer."""

pool_codes = Table(
    "pool_codes",
    metadata,
    key_text("program"),
    Column("digest", LargeBinary, nullable=False),
    key_text("reward"),
    _instant("expires_at"),
    # Under the pool's key, until somebody is handed it: then only the voucher's copy is left, under the member's.
    Column("sealed", LargeBinary),
    Column("suffix", Text, nullable=False),
    # Who was handed it, and as which voucher.
    Column("member", Text(collation="C")),
    Column("voucher", Text(collation="C")),
    PrimaryKeyConstraint("program", "digest"),
    schema=SCHEMA,
)
Index(
    "pool_codes_free",
    pool_codes.c.program,
    pool_codes.c.reward,
    pool_codes.c.expires_at,
    pool_codes.c.digest,
    postgresql_where=text("voucher is null"),
)

pool_lots = Table(
    "pool_lots",
    metadata,
    key_text("program"),
    key_text("reward"),
    _instant("expires_at"),
    _count("codes"),
    _count("handed"),
    PrimaryKeyConstraint("program", "reward", "expires_at"),
    CheckConstraint("handed >= 0 AND handed <= codes", name="pool_lots_counts"),
    schema=SCHEMA,
)

voucher_uses = hash_partitioned(
    "voucher_uses",
    metadata,
    key_text("program"),
    key_text("member"),
    key_text("voucher"),
    key_text("partner"),
    key_text("reference"),
    Column("amount", BigInteger),
    Column("currency", Text),
    _count("upto"),
    _count("restored"),
    PrimaryKeyConstraint("program", "member", "voucher", "partner", "reference"),
    schema=SCHEMA,
)
Index("voucher_uses_by_reference", voucher_uses.c.program, voucher_uses.c.reference)

turns = Table(
    "turns",
    metadata,
    key_text("program"),
    _instant("as_of"),
    _count("converted"),
    _count("expired"),
    _count("timed_out"),
    Column("done", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("program", "as_of"),
    schema=SCHEMA,
)

turn_waits = Table(
    "turn_waits",
    metadata,
    key_text("program"),
    _instant("as_of"),
    _instant("until"),
    _count("ended"),
    Column("done", Boolean, nullable=False, server_default=text("false")),
    Column("message", Text, nullable=False),
    Column("correlation", Text, nullable=False),
    Column("traceparent", Text, nullable=False),
    PrimaryKeyConstraint("program", "as_of", "until"),
    schema=SCHEMA,
)
"""Where points have rested on the way of a turn, until the waits up to there had `ended`; `done`: they were told so."""

calls = Table(
    "calls",
    metadata,
    key_text("program"),
    key_text("member"),
    key_text("redemption"),
    # When the partner is to be asked next; in the future, too, while somebody is asking.
    _instant("due_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _instant("deadline", nullable=True),
    Column("place", Text(collation="C"), nullable=False, server_default=text("''")),
    _text("by"),
    PrimaryKeyConstraint("program", "member", "redemption"),
    schema=SCHEMA,
)
"""Partners that are to be asked, each at its place: to fulfil, or to be told `by` whom it was taken back."""
Index("calls_due", calls.c.due_at)
Index("calls_due_at", calls.c.place, calls.c.due_at)

partner_answers = hash_partitioned(
    "partner_answers",
    metadata,
    key_text("program"),
    key_text("member"),
    key_text("redemption"),
    Column("attempt", Integer, nullable=False),
    _instant("at"),
    Column("asked", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("program", "member", "redemption", "attempt"),
    schema=SCHEMA,
)
"""What partners answered, one row each time they were asked; of the body only a hash, for it may hold codes."""
