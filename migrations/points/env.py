"""Alembic's entry into the history of `points`."""

from migrations.environment import run

run("points")
