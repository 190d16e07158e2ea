"""What questions are answered from."""

from typing import Protocol

from laurel.io.database import Database
from services.points.store.programs import KnownPrograms


class Reads(Protocol):
    """The database and the programs known."""

    @property
    def database(self) -> Database: ...
    @property
    def programs(self) -> KnownPrograms: ...
