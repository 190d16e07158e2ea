"""Postgres, broker and services on one machine, for trying Laurel out and for its tests."""
