"""The tables that the code describes are the tables that the migrations make."""

from __future__ import annotations

import asyncio
from importlib import import_module

import pytest
from sqlalchemy import Column, MetaData

from laurel.io.drift import drift
from laurel.io.migrating import SCHEMAS, DatabaseUrls


def metadata_of(schema: str) -> MetaData:
    found: MetaData = import_module(f"services.{schema}.store.tables").metadata
    return found


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
    table.c.published_at.nullable = False
    found = "\n".join(asyncio.run(drift(database_urls.owner, schema, other)))
    assert "outbox.surplus" in found
    assert "outbox.payload" in found
    assert "outbox.published_at" in found


@pytest.mark.parametrize("schema", SCHEMAS)
def test_growing_tables_are_partitioned(database_urls: DatabaseUrls, schema: str) -> None:
    tables = metadata_of(schema).tables
    assert tables[f"{schema}.outbox"].dialect_options["postgresql"]["partition_by"]
