"""Settings of the redemption service, read from LAUREL_REDEMPTION_*."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from laurel.io.settings import OutsideSettings, ServiceSettings

Seconds = Annotated[float, Field(gt=0)]


class RedemptionSettings(OutsideSettings, ServiceSettings):
    """What one redemption process is told."""

    model_config = SettingsConfigDict(env_prefix="LAUREL_REDEMPTION_", frozen=True, extra="ignore")

    secret: Annotated[SecretStr, Field(min_length=32)]
    """What voucher codes are sealed and hashed with. Losing it loses the codes; it has no default on purpose."""
    secret_before: Annotated[SecretStr, Field(min_length=32)] | None = None
    """The secret until now, while what it sealed is sealed anew: see docs/privacy.md."""
    codes_token: SecretStr | None = None
    """When set, only who shows it as a bearer token may read voucher codes from the internal HTTP."""
    program_wait_seconds: Seconds = 10.0
    """How long a batch waits for a program version that a message carries, before the messages
    that carry it are parked until it comes."""
    hold_wait: timedelta = timedelta(minutes=15)
    """How long a saga waits for its points (S12)."""
    wait_timer_seconds: Seconds = 5.0
    """How often sagas that have waited long enough are looked for."""
    wait_timer_batch_max: Annotated[int, Field(ge=1, le=10_000)] = 200
    """How many of them one transaction takes."""
    voucher_timer_seconds: Seconds = 20.0
    """How often vouchers that have ended are looked for."""
    turn_interval_seconds: Seconds = 0.1
    """How often it is looked for clocks that points has turned."""
    voucher_batch_max: Annotated[int, Field(ge=1, le=10_000)] = 500
    """How many vouchers that have ended one transaction takes."""
    call_interval_seconds: Seconds = 0.1
    """How often it is looked for partners that are to be asked to fulfil."""
    calls_at_once: Annotated[int, Field(ge=1, le=500)] = 64
    """How many of them one process asks at a time."""
    calls_at_once_each: Annotated[int, Field(ge=1, le=500)] = 8
    """How many of these may be at one partner, which is a host and port."""
    calls_per_second_each: Annotated[float, Field(gt=0, le=10_000)] = 50.0
    """How many in a second one process asks at one partner."""
