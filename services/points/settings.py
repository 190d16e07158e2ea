"""Settings of the points service, read from LAUREL_POINTS_*."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from laurel.io.settings import ServiceSettings


class PointsSettings(ServiceSettings):
    """What one points process is told."""

    model_config = SettingsConfigDict(env_prefix="LAUREL_POINTS_", frozen=True, extra="ignore")

    program_wait_seconds: Annotated[float, Field(gt=0)] = 10.0
    """How long a batch waits for a program version that a message carries, before the messages
    that carry it are parked until it comes."""
    expiry_interval_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How often members whom nobody touches are looked at for what is due."""
    turn_interval_seconds: Annotated[float, Field(gt=0)] = 1.0
    """How often it is looked for turns of clocks that nobody here was asked for, such as of a process that died."""
    expiry_batch_max: Annotated[int, Field(ge=1, le=10_000)] = 500
    """How many members one such transaction takes."""
    expiry_at_once: Annotated[int, Field(ge=1, le=16)] = 3
    """How many such transactions are under way at a time; each needs a connection."""
