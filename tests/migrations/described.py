"""The tables of a service as its code describes them."""

from __future__ import annotations

from importlib import import_module

from sqlalchemy import MetaData


def metadata_of(schema: str) -> MetaData:
    found: MetaData = import_module(f"services.{schema}.store.tables").metadata
    return found
