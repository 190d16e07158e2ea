"""What one connection may cost: time for the head of a request and bytes of it, and time to take what it asked for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from laurel.io.request_ids import REQUEST_ID, id_of

HEAD_BYTES_MAX = 65_536
_NO_REQUEST = b"400 Bad Request"
_TOO_SLOW = b"408 Request Timeout"
_TOO_LARGE = b"431 Request Header Fields Too Large"
_TOO_MANY = b"503 Service Unavailable\r\nretry-after: 1"


class BoundSettings(Protocol):
    """What limits a service's door is told."""

    @property
    def http_head_seconds(self) -> float: ...
    @property
    def http_body_seconds(self) -> float: ...
    @property
    def http_write_seconds(self) -> float: ...
    @property
    def http_request_seconds(self) -> float: ...
    @property
    def http_requests_max(self) -> int: ...
    @property
    def http_connections_max(self) -> int: ...


@dataclass(slots=True)
class Bounds:
    """The limits of a service's door, and how many requests it has in hand."""

    body_seconds: float
    request_seconds: float
    requests_max: int
    in_hand: int = 0

    @classmethod
    def of(cls, settings: BoundSettings) -> Bounds:
        return cls(settings.http_body_seconds, settings.http_request_seconds, settings.http_requests_max)

    @property
    def is_full(self) -> bool:
        return self.in_hand >= self.requests_max


class BoundedProtocol(HttpToolsProtocol):
    """A connection that is closed when its head takes too long or grows too large, or nobody reads the answer."""

    head_seconds: float
    write_seconds: float
    connections_max: int

    _timer: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None
    _is_in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            self._refuse(_TOO_MANY)
        else:
            self._timer = self.loop.call_later(self.head_seconds, self._refuse, _TOO_SLOW)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head = self._is_in_head
        super().data_received(data)
        if was_in_head and self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_seconds, self._refuse, _TOO_SLOW)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        # A gentle close would wait for whoever does not read.
        self._writing = self.loop.call_later(self.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        super().resume_writing()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def send_400_response(self, msg: str) -> None:
        self._refuse(_NO_REQUEST, msg.encode())

    def _refuse(self, status: bytes, text: bytes = b"") -> None:
        """Answer what is no request yet, or none at all, and close the connection."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        kind = b"\r\ncontent-type: text/plain; charset=utf-8" if text else b""
        known = b"\r\n%s: %s" % (REQUEST_ID, id_of(self.headers or ()).encode())
        length = b"\r\ncontent-length: %d" % len(text)
        head = b"HTTP/1.1 " + status + kind + known + length + b"\r\nconnection: close\r\n\r\n"
        self.transport.write(head + text)
        self.transport.close()


def bounded(settings: BoundSettings) -> type[BoundedProtocol]:
    """Return the protocol with these limits."""
    limits = {
        "head_seconds": settings.http_head_seconds,
        "write_seconds": settings.http_write_seconds,
        "connections_max": settings.http_connections_max,
    }
    return type("BoundedProtocol", (BoundedProtocol,), limits)
