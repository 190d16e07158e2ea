"""Lint the OpenAPI document with Redocly's CLI, where Node is: `make openapi`.

The linter is fetched from npm once, at the version below, into a folder that `make clean` removes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fastapi import FastAPI

from services.gateway.app import DESCRIPTION
from services.gateway.documenting import document
from services.gateway.routes import ROUTERS

VERSION = "2.77.0"
HERE = Path(__file__).parents[1]
CACHE = HERE / ".laurel-cache" / f"redocly-{VERSION}"


def main() -> int:
    """Return the exit code: what the linter says, 0 without Node, 1 where it cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("skipped: there is no Node here, so the OpenAPI document is not linted")
        return 0
    linter = CACHE / "node_modules" / "@redocly" / "cli" / "bin" / "cli.js"
    if not linter.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fetch = [npm, "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", f"@redocly/cli@{VERSION}"]
        if subprocess.run(fetch, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            print("the linter cannot be had from npm")
            return 1
    app = FastAPI(title="Laurel", version="1")
    for router in ROUTERS:
        app.include_router(router)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "openapi.json"
        path.write_text(json.dumps(document(app, DESCRIPTION)), encoding="utf-8")
        lint = [node, str(linter), "lint", str(path), "--config", str(HERE / "redocly.yaml"), "--max-problems", "50"]
        return subprocess.run(lint, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
