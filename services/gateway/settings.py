"""The gateway's settings: the environment's `LAUREL_GATEWAY_…`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from laurel.io.settings import OutsideSettings, ServiceSettings

Seconds = Annotated[float, Field(gt=0, le=3600)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


def _by_route() -> dict[str, int]:
    """What costs much, and what whoever guesses would ask."""
    program, keys = "/v1/programs/{program}", "/v1/partners/{partner}/keys"
    return {
        f"POST {program}/batches": 20,
        f"PATCH {program}/batches/{{batch}}": 20,
        f"POST {program}/validate": 20,
        f"POST {program}/copy": 10,
        f"POST {program}/members/find": 200,
        f"GET {program}/vouchers/{{code}}": 200,
        f"GET {program}/reports/liability": 20,
        f"POST {keys}": 20,
        f"POST {keys}/{{key}}/rotate": 20,
        "GET /v1/audit": 20,
    }


class GatewaySettings(ServiceSettings, OutsideSettings):
    """What the gateway is told."""

    model_config = SettingsConfigDict(env_prefix="LAUREL_GATEWAY_", frozen=True, extra="ignore")

    secret: Annotated[SecretStr, Field(min_length=32)]
    """What the keys of members are sealed by, and that by which identifiers are hashed. Losing it forgets them all."""
    secret_before: Annotated[SecretStr, Field(min_length=32)] | None = None
    """The secret until now, while what it sealed is sealed anew: see docs/privacy.md."""
    points_url: str = "http://127.0.0.1:8081"
    """Where points answers questions."""
    redemption_url: str = "http://127.0.0.1:8082"
    """Where redemption answers questions."""
    redemption_codes_token: SecretStr | None = None
    """What redemption wants to be shown before it tells voucher codes, if it was told to want it."""
    passed_on_seconds: Seconds = 5.0
    """How long a question to another service may take."""
    admin_key_file: Path | None = None
    """Where the first admin key is written when there is none; nowhere if not set."""
    wait_seconds: Annotated[int, Field(ge=0, le=30)] = 5
    """How long a request waits for its outcome when it does not say."""
    wait_seconds_max: Annotated[int, Field(ge=0, le=300)] = 30
    """The longest that a request may ask to wait."""
    key_cache_seconds: Annotated[float, Field(ge=0, le=10)] = 1.0
    """How long a key that was looked up is trusted; so long a revoked one may still be taken."""
    rate_limit: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """How many requests a second a key may send to one instance, if it has no rate of its own; five times as many at
    once."""
    rate_limits_by_route: dict[str, Annotated[int, Field(ge=1, le=100_000)]] = Field(default_factory=_by_route)
    """The same for some routes, by method and path as the OpenAPI document has them."""
    outbox_behind_max: Count = 20_000
    """While so many transactions wait to be published, writes are told to come back."""
    gather_max: Count = 200
    """The most requests that one transaction takes."""
    gather_waiting_max: Count = 5_000
    """The most requests that wait for their turn; above it callers are told to come back."""
    projecting_linger_seconds: Annotated[float, Field(ge=0, le=1)] = 0.04
    """How long the projector lets instances that answer waiting callers go first."""
    batch_line_bytes_max: Annotated[int, Field(ge=1024)] = 1_048_576
    """The longest line of a batch."""
    batch_unpacked_ratio_max: Annotated[int, Field(ge=2, le=1100)] = 250
    """A packed batch that unpacks to more than so many times its size is stopped; real ones reach some thirty."""
    batch_in_flight_max: Annotated[int, Field(ge=1, le=100_000)] = 500
    """How many lines of batches may be with points at a time, so that a file never starves the till."""
    batch_in_flight_beside_callers: Annotated[int, Field(ge=1, le=100_000)] = 50
    """The same while callers wait for outcomes: each waits behind the lines that are with points when it comes."""
    batch_yields_seconds: Annotated[float, Field(ge=0, le=3600)] = 3.0
    """For how long after the last waiting caller was seen files yield."""
    batch_poll_seconds: Seconds = 0.25
    """How often the table of batches is looked at when nothing else tells that there is work."""
    turn_poll_seconds: Seconds = 0.5
    """How often it is looked for clocks that points has turned and that nobody here waits for."""
    events_poll_seconds: Seconds = 0.1
    """How often the table of events is looked at while anybody listens: once for all listeners of a process."""
    events_retention_hours: Annotated[float, Field(ge=0)] = 192.0
    """How long events are kept for streams and webhooks; streams can be resumed for at least seven days."""
    events_prune_seconds: Seconds = 60.0
    """How often events are looked for that need no longer be kept."""
    stream_listeners_max: Count = 5_000
    """The most streams of events that one process serves."""
    stream_heartbeat_seconds: Seconds = 15.0
    """How often a stream says that it is alive; one of a revoked key is told nothing, and ends by then."""
    stream_send_seconds: Seconds = 20.0
    """A listener that takes nothing for so long is cut off."""
    stream_seconds_max: Annotated[float, Field(gt=0)] = 3_600.0
    """A stream ends after so long; its listener comes back with its `Last-Event-ID`, wherever there is room."""
    webhooks_max: Count = 100
    """The most webhooks that one partner may have."""
    webhook_at_once: Annotated[int, Field(ge=1, le=1_000)] = 16
    """How many events one webhook is told at the same time, each of another member."""
    webhook_seconds: Seconds = 15.0
    """How long a receiver may take to answer."""
    webhook_attempts_max: Annotated[int, Field(ge=1, le=100)] = 16
    """How often an event is tried: with the pauses below, over some two and a half days."""
    webhook_retry_seconds: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """The pause after the first failure; each further one is four times as long."""
    webhook_retry_seconds_max: Annotated[float, Field(gt=0)] = 21_600.0
    """The longest pause."""
    webhook_lease_seconds: Annotated[float, Field(ge=1, le=300)] = 10.0
    """For so long a worker that died keeps its webhooks from others."""
    batch_silence_seconds: Seconds = 120.0
    """A sender that says nothing for so long has gone; its batch is cut off."""
