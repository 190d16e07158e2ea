"""The messaging tables as the first migration of each schema makes them.

Why: outbox, inbox and parked messages are the same in every service. This file is frozen with those first
migrations; a later change to the tables is a migration of its own.
"""

from __future__ import annotations

from typing import Protocol

_TEXT = 'text COLLATE "C" NOT NULL'

_PARTITIONED = {
    # One counter for each key of a stream: the next number is taken under its row lock, so order is counted.
    "outbox_keys": (
        f"""(
            program {_TEXT},
            member {_TEXT},
            stream {_TEXT},
            number bigint NOT NULL,
            PRIMARY KEY (program, member, stream)
        )""",
        "fillfactor = 70",
    ),
    "outbox": (
        f"""(
            program {_TEXT},
            member {_TEXT},
            stream {_TEXT},
            number bigint NOT NULL,
            aggregatetype text NOT NULL,
            aggregateid text NOT NULL,
            type text NOT NULL,
            payload bytea NOT NULL,
            at timestamptz NOT NULL,
            causation text,
            correlation text,
            traceparent text,
            created_at timestamptz NOT NULL DEFAULT now(),
            published_at timestamptz,
            PRIMARY KEY (program, member, stream, number)
        )""",
        # Every row is written twice, once to be marked: dead rows and index entries are to go soon.
        "autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 1",
    ),
    # The last number applied of each source and key; never cleaned.
    "inbox": (
        f"""(
            program {_TEXT},
            member {_TEXT},
            source {_TEXT},
            number bigint NOT NULL,
            PRIMARY KEY (program, member, source)
        )""",
        "fillfactor = 70",
    ),
}


class Operations(Protocol):
    """What is needed of Alembic's `op`."""

    def execute(self, statement: str, /) -> None:
        """Run a statement."""


def create_messaging_tables(op: Operations, schema: str, partitions: int) -> None:
    """Create them in `schema`, which exists, in so many parts; `op` is Alembic's."""
    op.execute(f"""CREATE TABLE {schema}.schema_epoch (
        "only" boolean DEFAULT true NOT NULL PRIMARY KEY CONSTRAINT schema_epoch_only CHECK ("only"),
        epoch integer NOT NULL
    )""")
    op.execute(f"INSERT INTO {schema}.schema_epoch (epoch) VALUES (1)")
    for table, (columns, storage) in _PARTITIONED.items():
        op.execute(f"CREATE TABLE {schema}.{table} {columns} PARTITION BY HASH (program, member)")
        for remainder in range(partitions):
            op.execute(
                f"CREATE TABLE {schema}.{table}_p{remainder} PARTITION OF {schema}.{table} "
                f"FOR VALUES WITH (MODULUS {partitions}, REMAINDER {remainder}) WITH ({storage})"
            )
    op.execute(
        f"CREATE INDEX outbox_unpublished ON {schema}.outbox (program, member, stream, number) "
        "WHERE published_at IS NULL"
    )
    # Messages that could not be processed, and those of their key that wait behind them or behind a gap.
    op.execute(f"""CREATE TABLE {schema}.parked (
        program {_TEXT},
        member {_TEXT},
        source {_TEXT},
        sequence bigint NOT NULL,
        topic text NOT NULL,
        type text,
        headers json NOT NULL,
        body bytea NOT NULL,
        reason text NOT NULL,
        detail text NOT NULL,
        parked_at timestamptz DEFAULT now() NOT NULL,
        correlation text,
        PRIMARY KEY (program, member, source, sequence)
    )""")
    op.execute(f"""CREATE TABLE {schema}.parked_audit (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz DEFAULT now() NOT NULL,
        action text NOT NULL,
        program {_TEXT},
        member {_TEXT},
        source {_TEXT},
        sequence bigint NOT NULL,
        actor text NOT NULL,
        note text NOT NULL
    )""")
    # The broker that the relay last worked with, and how far it got there.
    op.execute(f"""CREATE TABLE {schema}.broker_state (
        "only" boolean DEFAULT true NOT NULL PRIMARY KEY CONSTRAINT broker_state_only CHECK ("only"),
        cluster_id text NOT NULL
    )""")
    op.execute(f"""CREATE TABLE {schema}.relay_positions (
        topic text NOT NULL,
        partition integer NOT NULL,
        next_offset bigint NOT NULL,
        PRIMARY KEY (topic, partition)
    )""")
    # The broker on which a group of consumers last began to read a log.
    op.execute(f"""CREATE TABLE {schema}.consumer_logs (
        consumer text NOT NULL,
        topic text NOT NULL,
        partition integer NOT NULL,
        cluster_id text NOT NULL,
        PRIMARY KEY (consumer, topic, partition)
    )""")
