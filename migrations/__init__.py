"""One Alembic history per schema."""
