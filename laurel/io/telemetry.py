"""Logs and metrics."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

CONSUMED = Counter("laurel_messages_total", "Messages by what became of them", ["group", "outcome"])
BATCH_SECONDS = Histogram("laurel_batch_seconds", "Time of one batch from fetch to commit", ["group"], buckets=_SECONDS)
RERUNS = Counter("laurel_batch_reruns_total", "Batches run again, by why", ["group", "why"])
GAPS = Gauge("laurel_gaps", "Keys that wait longer than they should for a missing number", ["group"])
PUBLISHED = Counter("laurel_published_total", "Events published", ["service"])
SWEPT = Counter("laurel_swept_total", "Events found unpublished in the outbox and published", ["service"])
RELAY_SECONDS = Histogram(
    "laurel_relay_seconds", "Time from hand-over to acknowledgement", ["service"], buckets=_SECONDS
)
RELAY_FAILURES = Counter("laurel_relay_failures_total", "Sends that failed", ["service"])
RELAY_WAITING = Gauge("laurel_relay_waiting", "Events handed to the relay and not yet published", ["service"])
REPUBLISHED = Counter("laurel_republished_total", "Events published again to a broker that had lost them", ["service"])
HTTP_SECONDS = Histogram(
    "laurel_http_seconds", "Time of HTTP requests", ["method", "route", "status"], buckets=_SECONDS
)


def configure_logging(service: str, *, as_json: bool = True, level: str = "INFO") -> None:
    """Send every log line, ours and the libraries', to standard error in one shape."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Where rich is installed the default shows local variables, and with them passwords and keys.
    plain = structlog.dev.plain_traceback
    console = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)
    renderer: Any = structlog.processors.JSONRenderer() if as_json else console
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([structlog.processors.format_exc_info] if as_json else []),
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The broker's client tells at length of every connection it loses; what matters of that, we say ourselves.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that takes facts as keywords."""
    named: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return named
