"""Paths as the document tells them, with something in the place of each name."""

from __future__ import annotations

import re

from tests.gateway.stage import PROGRAM


def filled(path: str) -> str:
    """Put something into a path: the program, a member who is there, and for the rest what is not."""
    path = path.replace("{program}", PROGRAM).replace("{member}", "m-1")
    path = path.replace("{webhook}", "whk-1")
    return re.sub(r"{\w+}", "1", path)
