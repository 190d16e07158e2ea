"""The databases of a Laurel that runs on a data directory, for commands that look at it from beside."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from laurel.embedded.secret_file import Secrets
from laurel.embedded.status import DATA_DIR, read_status
from laurel.errors import LaurelError
from laurel.io.migrating import DatabaseUrls, urls_beside


class NotRunningError(LaurelError):
    """Nothing runs on the data directory."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(f"Nothing runs on {data_dir}. Start it with `laurel up`, or name another --data-dir.")


def database_urls(data_dir: Path = DATA_DIR) -> DatabaseUrls:
    """Where each role connects; raises NotRunningError."""
    status = read_status(data_dir)
    if status is None:
        raise NotRunningError(data_dir)
    database = urlsplit(status.database).path.lstrip("/")
    return urls_beside(status.database, Secrets.of(data_dir.resolve()).passwords, database)
