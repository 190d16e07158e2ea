"""The tables that the code describes are the tables that the migrations make."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Column, MetaData

from laurel.io.drift import drift
from laurel.io.migrating import SCHEMAS, DatabaseUrls
from tests.migrations.described import metadata_of


@pytest.mark.parametrize("schema", SCHEMAS)
def test_models_are_the_migrated_schema(database_urls: DatabaseUrls, schema: str) -> None:
    found = asyncio.run(drift(database_urls.owner, schema, metadata_of(schema)))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_drift_is_seen(database_urls: DatabaseUrls, schema: str) -> None:
    """A column more, a column less, another type, a nullable one: each is named."""
    from sqlalchemy import Text

    other = MetaData()
    for table in metadata_of(schema).tables.values():
        table.to_metadata(other)
    table = other.tables[f"{schema}.outbox"]
    table.append_column(Column("surplus", Text()))
    table.c.payload.type = Text()
    table.c.work.nullable = False
    found = "\n".join(asyncio.run(drift(database_urls.owner, schema, other)))
    assert "outbox.surplus" in found
    assert "outbox.payload" in found
    assert "outbox.work" in found


OTHERWISE = {
    # What is found by an id before its member is known: docs/decisions/0009-other-partitions.md says why.
    "gateway.identifiers": "HASH (program, scheme, hash)",
    "gateway.households": "HASH (program, household)",
    "gateway.requests": "HASH (program, id)",
    "gateway.redemptions": "HASH (program, redemption)",
    "gateway.operations": "HASH (program, id)",
    "gateway.batch_lines": "HASH (program, batch)",
    "gateway.batch_faults": "HASH (program, batch)",
    "gateway.batch_following": "HASH (program, batch)",
    "points.activities": "HASH (program, activity)",
    "points.exclusive_keys": "HASH (exclusive_group, exclusive_key)",
    "points.person_counts": "HASH (program, person)",
    "redemption.tallies": "HASH (program, name)",
}
WHOLE = {
    # What grows with programs, partners, rewards, files or mistakes, not with members.
    "gateway": {
        "api_keys", "audit", "batch_awarded", "batch_outcomes", "batch_turn", "batches", "callers", "deliveries",
        "event_head", "events", "partner_terms", "partners", "program_versions", "programs", "rewards", "service_keys",
        "webhooks",
        # It has a row for each line whose effect is on its way, and no more.
        "batch_giving_back",
    },
    "points": {"block_payments", "blocks", "budgets", "judgements", "partner_terms", "programs", "turns"},
    # `calls` has a row for each partner that is to be asked, and no more.
    "redemption": {
        "calls", "partner_codes", "pool_codes", "pool_lots", "resources", "rewards", "service_keys", "stock",
        "turn_waits", "turns",
    },
}  # fmt: skip
# `outbox_open` has a row for what is on its way, and no more.
WHOLE_EVERYWHERE = {
    "broker_state", "consumer_logs", "outbox_open", "parked", "parked_audit", "relay_positions", "schema_epoch",
}  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_growing_tables_are_partitioned(schema: str) -> None:
    """By member, or as decided; a new table is partitioned by member unless it is named above."""
    found = {
        table.name: table.dialect_options["postgresql"]["partition_by"] for table in metadata_of(schema).sorted_tables
    }
    assert {name for name, by in found.items() if not by} == WHOLE[schema] | WHOLE_EVERYWHERE
    for name, by in found.items():
        if by:
            assert by == OTHERWISE.get(f"{schema}.{name}", "HASH (program, member)"), name


@pytest.mark.parametrize("schema", SCHEMAS)
def test_partitioned_tables_are_keyed_by_what_they_are_partitioned_by(schema: str) -> None:
    """So that a row is in one partition, found without asking the others; and no other key spans all of them."""
    for table in metadata_of(schema).sorted_tables:
        by = table.dialect_options["postgresql"]["partition_by"]
        if by:
            columns = set(by.removeprefix("HASH (").removesuffix(")").split(", "))
            assert columns <= {column.name for column in table.primary_key}, table.name


def test_every_exception_is_a_table() -> None:
    named = {table.fullname for schema in SCHEMAS for table in metadata_of(schema).sorted_tables}
    assert OTHERWISE.keys() <= named
