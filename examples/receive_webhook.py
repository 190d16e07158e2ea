"""Receive webhooks: check the signature, know what was told before, answer soon.

WEBHOOK_SECRET=whsec_... python examples/receive_webhook.py 8090
"""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET = Webhook(os.environ["WEBHOOK_SECRET"])
BODY_BYTES_MAX = 1_000_000

known: set[str] = set()
"""The `webhook-id`s that were taken. A real receiver keeps them where it keeps what it makes of the events."""

taking = Lock()
"""Events of several members come beside each other."""


class Receiver(BaseHTTPRequestHandler):
    """Prints each event once."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", "0"))
        if not 0 < length <= BODY_BYTES_MAX:
            self.answer(413)
            return
        body = self.rfile.read(length)
        try:
            event = SECRET.verify(body, dict(self.headers.items()))
        except WebhookVerificationError:
            self.answer(401)
            return
        with taking:
            if self.headers["webhook-id"] not in known:
                known.add(self.headers["webhook-id"])
                sys.stdout.write(f"{event['type']} {event.get('subject')} {event['data']}\n")
                sys.stdout.flush()
        # Whatever is not 2xx is told again: a repeat is answered like the first.
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
