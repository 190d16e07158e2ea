"""The HTTP face of points: health, metrics, and answers to the gateway's questions."""

from fastapi import FastAPI

from laurel.io.exports_door import export_routes
from laurel.io.http import service_app
from services.points.entry.blocks import block_routes
from services.points.entry.http import routes
from services.points.wiring import Reading


def points_app(reading: Reading, *, answers: bool = True) -> FastAPI:
    """Make the application; a process that only works shows its health and nothing else."""
    app = service_app("Laurel points", reading.settings, None, reading.health, docs_url=None, redoc_url=None)
    if answers:
        app.include_router(routes(reading.views, reading.programs))
        app.include_router(block_routes(reading.views))
        app.include_router(export_routes(reading.exporter))
    return app
