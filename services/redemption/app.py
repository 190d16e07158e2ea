"""The HTTP application of the redemption service."""

from __future__ import annotations

from fastapi import FastAPI

from laurel.io.exports_door import export_routes
from laurel.io.http import service_app
from services.redemption.entry.http import routes
from services.redemption.store.asked_views import AskedViews
from services.redemption.store.exporting import redemption_exporter
from services.redemption.store.pools import PostgresPools
from services.redemption.store.views import PostgresViews
from services.redemption.wiring import Parts


def application(parts: Parts, *, answers: bool = True) -> FastAPI:
    """Make the application on parts that live as long; a process that only works shows its health and no more."""
    app = service_app("Laurel redemption", parts.settings, None, parts.health, docs_url=None, redoc_url=None)
    if answers:
        app.include_router(export_routes(redemption_exporter(parts.database, parts.settings.kafka_prefix)))
        app.include_router(
            routes(
                parts.database.hurried(parts.settings.database_wait_seconds),
                PostgresViews(parts.vault),
                PostgresPools(parts.vault),
                AskedViews(),
                parts.settings.codes_token,
            )
        )
    return app
