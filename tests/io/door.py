"""The settings of a door: small bounds, so that a test reaches them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    http_host: str = "127.0.0.1"
    http_port: int = 0
    http_body_bytes_max: int = 200
    http_keep_alive_seconds: int = 5
    http_head_seconds: float = 10
    http_body_seconds: float = 10
    http_write_seconds: float = 10
    http_request_seconds: float = 20
    http_requests_max: int = 100
    http_connections_max: int = 100
