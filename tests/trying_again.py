"""A test that is tried again begins anew: what its module shares may hold what the try that failed has left."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before another try, end what the tests of the module share; it is made again when it is asked for.

    Else the second try stumbles over the first one's members, and its "already there" is what one reads.
    """
    if getattr(item, "execution_count", 1) == 1 or not isinstance(item, pytest.Function):
        return
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        for each in definitions:
            if each.scope == "module":
                each.finish(item._request)  # type: ignore[arg-type]  # there is no other way
