"""Alembic's entry into the history of `gateway`."""

from migrations.environment import run

run("gateway")
