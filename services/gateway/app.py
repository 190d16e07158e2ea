"""The public face: the routes of the contract, their OpenAPI document, the AsyncAPI document of the topics."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from laurel.io.http import know_methods, service_app
from services.gateway.documenting import document
from services.gateway.leafing import add_page
from services.gateway.routes import ROUTERS
from services.gateway.wiring import Api, Parts

DESCRIPTION = (
    "Report what members did, see what it earned, redeem it. Errors are problem documents (RFC 9457) with a stable "
    "`code`; writes wait for their outcome as `Prefer` says."
)


def application(parts: Parts, api: Api | None) -> FastAPI:
    """Make the application; a process that only works shows its health and no more."""
    if api is None:
        return service_app(
            "Laurel gateway", parts.settings, None, parts.health, docs_url=None, redoc_url=None, openapi_url=None
        )
    app = service_app("Laurel", parts.settings, None, parts.health, version="1", docs_url=None, redoc_url=None)
    app.state.api = api
    for router in ROUTERS:
        app.include_router(router)
    know_methods(app, methods_by_path())
    app.openapi = lambda: document(app, DESCRIPTION)  # type: ignore[method-assign]
    add_page(app)
    asyncapi = files("laurel.contracts").joinpath("asyncapi.json").read_bytes()

    @app.get("/asyncapi.json", include_in_schema=False)
    async def asyncapi_document(_: Request) -> Response:
        return Response(asyncapi, media_type="application/json")

    return app


def methods_by_path() -> dict[str, set[str]]:
    """Return the methods of every path of the public API."""
    found: dict[str, set[str]] = {}
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            found.setdefault(route.path, set()).update(route.methods or ())
    return found
