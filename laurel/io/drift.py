"""Whether a migrated schema is what the models say: both are built by Postgres, and its catalogue is compared.

So no type, collation, default, key, index or constraint has to be translated by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from laurel.io.migrating import VERSION_TABLE, for_sqlalchemy

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

_SCRATCH = "drift_scratch"

_TABLES = """
select c.relname, coalesce(pg_get_partkeydef(c.oid), 'not partitioned'),
       (select count(*) from pg_inherits i where i.inhparent = c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = :schema and c.relkind in ('r', 'p') and not c.relispartition
"""

_COLUMNS = """
select c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
       || case when l.collname is null or l.collname = 'default' then '' else ' collate ' || l.collname end
       || case when a.attnotnull then ' not null' else '' end
       || case a.attidentity when 'a' then ' identity always' when 'd' then ' identity' else '' end
       || case when a.attgenerated <> '' then ' generated' else '' end
       || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_collation l on l.oid = a.attcollation
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where n.nspname = :schema and c.relkind in ('r', 'p') and not c.relispartition
"""

# Not-null constraints are part of their columns. Names of keys are Postgres' own affair.
_CONSTRAINTS = """
select c.relname, pg_get_constraintdef(k.oid)
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = :schema and not c.relispartition and k.contype <> 'n'
"""

_INDEXES = """
select t.relname, regexp_replace(pg_get_indexdef(i.indexrelid), 'INDEX \\S+ ON (ONLY )?', 'INDEX ON ')
from pg_index i join pg_class t on t.oid = i.indrelid join pg_namespace n on n.oid = t.relnamespace
where n.nspname = :schema and not t.relispartition
"""


async def drift(owner_url: str, schema: str, metadata: MetaData) -> list[str]:
    """Every difference between the migrated schema and the models, one sentence each; nothing is left behind."""
    engine = create_async_engine(for_sqlalchemy(owner_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            transaction = await connection.begin()
            try:
                return await connection.run_sync(_compare, schema, metadata)
            finally:
                await transaction.rollback()
    finally:
        await engine.dispose()


def _compare(connection: Connection, schema: str, metadata: MetaData) -> list[str]:
    connection.execute(text(f"create schema {_SCRATCH}"))
    translated = connection.execution_options(schema_translate_map={schema: _SCRATCH})
    metadata.create_all(translated, checkfirst=False)
    migrated = _catalogue(connection, schema)
    modelled = _catalogue(connection, _SCRATCH)
    # How many there are was chosen for this database, but for all of its tables alike.
    partitions = migrated.get("outbox_keys: partitions", "0")
    wanted = {
        f"{table.name}: partitions": partitions
        for table in metadata.tables.values()
        if table.kwargs.get("postgresql_partition_by")
    }
    return _differences(migrated, {**modelled, **wanted})


def _differences(migrated: dict[str, str], modelled: dict[str, str]) -> list[str]:
    nothing = "nothing"
    return [
        f"{name}: the migrations make {migrated.get(name, nothing)!r}, the models say {modelled.get(name, nothing)!r}"
        for name in sorted(migrated.keys() | modelled.keys())
        if migrated.get(name, nothing) != modelled.get(name, nothing)
    ]


def _catalogue(connection: Connection, schema: str) -> dict[str, str]:
    """What the schema holds, as name → description."""
    found: dict[str, str] = {}

    def rows(question: str) -> list[tuple[str, ...]]:
        answer = connection.execute(text(question), {"schema": schema})
        return [
            tuple(str(value).replace(f"{schema}.", "") for value in row) for row in answer if row[0] != VERSION_TABLE
        ]

    for table, partitioning, partitions in rows(_TABLES):
        found[f"{table}: partitioning"] = partitioning
        if schema != _SCRATCH and partitions != "0":
            found[f"{table}: partitions"] = partitions
    for table, column, description in rows(_COLUMNS):
        found[f"{table}.{column}"] = description
    for table, definition in rows(_CONSTRAINTS):
        found[f"{table}: constraint {definition}"] = "there"
    for table, definition in rows(_INDEXES):
        found[f"{table}: {definition}"] = "there"
    return found
