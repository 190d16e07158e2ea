"""How a webhook's receiver knows that it is told by us: signatures as Standard Webhooks lays them down.

A secret is made from a key of the service, the webhook's id and its generation, so none of them lies anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from standardwebhooks.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

MEDIA_TYPE: Final = "application/cloudevents+json"
SECRETS: Final = "webhook secrets"
"""The name of the service's key from which they are made."""
KEY_BYTES: Final = 32


class Signing:
    """Makes the secrets of webhooks, each the same whenever it is made."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def secret(self, webhook: str, generation: int) -> str:
        """Return a secret as its receiver is told it."""
        made = hmac.digest(self._key, f"{webhook}\n{generation}".encode(), hashlib.sha256)
        return "whsec_" + base64.b64encode(made).decode()


def headers_of(delivery: str, at: datetime, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a delivery, signed by each of the secrets; `at` is in UTC."""
    text = body.decode()
    return {
        "content-type": MEDIA_TYPE,
        "webhook-id": delivery,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(delivery, at, text) for secret in secrets),
    }
