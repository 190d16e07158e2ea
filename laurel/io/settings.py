"""Settings that every service has."""

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

Port = Annotated[int, Field(ge=0, le=65535)]


class KafkaSettings(BaseSettings):
    """How a service reaches its broker."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    kafka_bootstrap: str = "127.0.0.1:9092"
    """`host:port`, several separated by commas."""
    kafka_prefix: str = "laurel"
    """What topics and groups begin with; another prefix keeps two installations on one broker apart."""
    kafka_idempotence: bool = True
    """Whether producers are idempotent. Off for a broker that does not know how."""
    kafka_partitions: Annotated[int, Field(ge=1, le=1024)] = 8
    """Partitions of each service's topic; fixed before the first event."""
    kafka_replication: Annotated[int, Field(ge=1, le=9)] = 1
    """Replicas of each topic."""
    kafka_session_timeout_ms: Annotated[int, Field(ge=500, le=300_000)] = 10_000
    """A member of a group that is silent for longer loses its partitions."""
    fetch_max_wait_ms: Annotated[int, Field(ge=1, le=5000)] = 500
    """How long the broker may hold a fetch that finds nothing; it answers as soon as there is something."""


class OutsideSettings(BaseSettings):
    """What a service may reach of the addresses that others name. Only services that ask such addresses have these."""

    outside_private_addresses: bool = False
    """Whether they may lie in private networks or on this machine. For development only."""
    outside_plain_http: bool = False
    """Whether they may begin with `http://`."""


class ServiceSettings(KafkaSettings):
    """What every service is told. A service's own class adds to it and sets the prefix of the environment."""

    database_url: SecretStr = SecretStr("postgresql://127.0.0.1:5432/laurel")
    """The database, with the service's own role."""
    database_pool_max: Annotated[int, Field(ge=2, le=100)] = 8
    """The most connections that one process opens."""
    database_wait_seconds: Annotated[float, Field(gt=0, le=600)] = 1.0
    """How long a caller's request waits for a connection while others have them all and none is given back; then it is
    told to come back (503). Files that are sent, and what goes on behind the callers, wait as long as it takes."""
    http_host: str = "127.0.0.1"
    """Where the service listens."""
    http_port: Port = 8080
    """The port it listens on."""
    http_body_bytes_max: Annotated[int, Field(ge=1024)] = 1_048_576
    """The largest body of an ordinary request."""
    http_head_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """How long the head of a request may take; a connection that never sends one is closed then, too."""
    http_body_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long the body of an ordinary request may take."""
    http_keep_alive_seconds: Annotated[int, Field(ge=1, le=3600)] = 75
    """How long a connection may rest between requests. Longer than a balancer in front of it keeps one, usually 60
    seconds, and longer than callers do: whoever closes last is the one who may have just been sent a request."""
    http_write_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0
    """How long an answer may wait for whoever does not read it."""
    http_request_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """How long a request may take until its answer begins; files that are sent have limits of their own."""
    http_requests_max: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    """The most requests in hand, without streams; above it callers are told to come back."""
    http_connections_max: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """The most connections that are open."""
    log_json: bool = True
    """One JSON object per line; off for people."""
    log_level: str = "INFO"
    """The least that is logged."""
    batch_max: Annotated[int, Field(ge=1, le=5000)] = 500
    """The most messages that one transaction takes."""
    gap_report_seconds: Annotated[float, Field(gt=0)] = 30.0
    """A gap in a key's numbers that lasts longer is reported."""
    relay_sweep_seconds: Annotated[float, Field(gt=0)] = 1.0
    """Rows of the outbox that are older than this and unpublished are looked for in the table."""
    outbox_retention_hours: Annotated[float, Field(ge=0)] = 168.0
    """Published events are kept at least this long, for a broker that lost them."""
    outbox_groups: str = ""
    """The consumer groups, separated by commas, that must have committed behind an event before it is dropped. With
    none named nothing is dropped."""
    outbox_prune_seconds: Annotated[float, Field(gt=0)] = 600.0
    """How often events that need no longer be kept are looked for."""

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(group for group in (part.strip() for part in self.outbox_groups.split(",")) if group)
