"""The page on which people read the OpenAPI document: all that it is made of comes from this process.

Only the files of `fastapi-swagger` are taken, which are those of Swagger UI as it is released.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from fastapi import Request, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI

_FILES: Final = {
    "swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png",
}  # fmt: skip
_KEPT: Final = {"Cache-Control": "public, max-age=86400"}
# What Swagger UI draws it styles by itself, and its arrows are images in its style sheet. It asks nobody but us.
_POLICY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}
_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Laurel</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>The document itself is <a href="./openapi.json">openapi.json</a>.</noscript>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START: Final = """SwaggerUIBundle({
  url: "./openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  validatorUrl: null,
});
"""


def add_page(app: FastAPI) -> None:
    """Add `/docs` and what it loads. Paths are relative, so a proxy may put a prefix before all of them."""
    root = files("fastapi_swagger.resources")
    kept = {name: (root.joinpath(name).read_bytes(), kind) for name, kind in _FILES.items()}
    kept["start.js"] = (_START.encode(), "text/javascript")

    @app.get("/docs", include_in_schema=False)
    async def page(_: Request) -> Response:
        return Response(_PAGE, media_type="text/html", headers=_POLICY)

    for name, (content, kind) in kept.items():
        app.add_api_route(f"/docs/{name}", _giving(content, kind), include_in_schema=False)


def _giving(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def give(_: Request) -> Response:
        return Response(content, media_type=kind, headers=_KEPT)

    return give
