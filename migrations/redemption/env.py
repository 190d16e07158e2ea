"""Alembic's entry into the history of `redemption`."""

from migrations.environment import run

run("redemption")
