"""The messaging tables as SQLAlchemy sees them: for the comparison of models and migrations, not for queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

if TYPE_CHECKING:
    from sqlalchemy.schema import SchemaItem


def key_text(name: str) -> sa.Column[str]:
    """Return a column of a key: compared by code points, the same on every machine and in Python."""
    return sa.Column(name, sa.Text(collation="C"), nullable=False)


def hash_partitioned(
    name: str, metadata: sa.MetaData, *items: SchemaItem, schema: str, by: str = "program, member"
) -> sa.Table:
    """Return a table that grows with members. Its partitions `<name>_p0` and so on are not models of their own."""
    return sa.Table(
        name,
        metadata,
        *items,
        schema=schema,
        postgresql_partition_by=f"HASH ({by})",
    )


def messaging_tables(metadata: sa.MetaData, schema: str) -> None:
    """Add the messaging tables of one service to `metadata`."""
    sa.Table(
        "schema_epoch",
        metadata,
        sa.Column(
            "only",
            sa.Boolean,
            sa.CheckConstraint('"only"', name="schema_epoch_only"),
            primary_key=True,
            server_default=sa.true(),
        ),
        sa.Column("epoch", sa.Integer, nullable=False),
        schema=schema,
    )
    hash_partitioned(
        "outbox_keys",
        metadata,
        key_text("program"),
        key_text("member"),
        key_text("stream"),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("program", "member", "stream"),
        schema=schema,
    )
    outbox = hash_partitioned(
        "outbox",
        metadata,
        key_text("program"),
        key_text("member"),
        key_text("stream"),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("aggregatetype", sa.Text, nullable=False),
        sa.Column("aggregateid", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("causation", sa.Text),
        sa.Column("correlation", sa.Text),
        sa.Column("traceparent", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("work", sa.Uuid),
        sa.PrimaryKeyConstraint("program", "member", "stream", "number"),
        schema=schema,
    )
    sa.Index("outbox_work", outbox.c.work)
    sa.Table(
        "outbox_open",
        metadata,
        sa.Column("work", sa.Uuid, primary_key=True),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        schema=schema,
    )
    hash_partitioned(
        "inbox",
        metadata,
        key_text("program"),
        key_text("member"),
        key_text("source"),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("program", "member", "source"),
        schema=schema,
    )
    _parked_tables(metadata, schema)
    _broker_tables(metadata, schema)


def _parked_tables(metadata: sa.MetaData, schema: str) -> None:
    sa.Table(
        "parked",
        metadata,
        key_text("program"),
        key_text("member"),
        key_text("source"),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("type", sa.Text),
        sa.Column("headers", pg.JSON, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("parked_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("correlation", sa.Text),
        sa.PrimaryKeyConstraint("program", "member", "source", "sequence"),
        schema=schema,
    )
    sa.Table(
        "parked_audit",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        key_text("program"),
        key_text("member"),
        key_text("source"),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        schema=schema,
    )


def _broker_tables(metadata: sa.MetaData, schema: str) -> None:
    sa.Table(
        "broker_state",
        metadata,
        sa.Column(
            "only",
            sa.Boolean,
            sa.CheckConstraint('"only"', name="broker_state_only"),
            primary_key=True,
            server_default=sa.true(),
        ),
        sa.Column("cluster_id", sa.Text, nullable=False),
        schema=schema,
    )
    sa.Table(
        "relay_positions",
        metadata,
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
        schema=schema,
    )
    sa.Table(
        "consumer_logs",
        metadata,
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("consumer", "topic", "partition"),
        schema=schema,
    )
