"""The database as the service of points sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls


@pytest.fixture
async def database(database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    found = await Database.connect(database_urls.points, schema="points", application="test")
    yield found
    await found.close()
