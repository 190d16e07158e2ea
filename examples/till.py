"""A till: greet a member, report a basket, pay with points. Everything can be sent again and happens once.

LAUREL_KEY=lk_... python examples/till.py http://127.0.0.1:8080 grocery 6340001
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import httpx

TRIES = 5
AGAIN = (429, 503)
"""Nothing was done: too much at once, or a part is away for a moment. `Retry-After` says when to come again."""


class Till:
    """One till of one shop."""

    def __init__(self, address: str, program: str, key: str) -> None:
        self._base = f"/v1/programs/{program}"
        self._http = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=40)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:  # noqa: ANN401 - JSON
        """Ask, and ask again where nobody answered or nothing could be done: the same request is never done twice."""
        for turn in range(TRIES):
            try:
                answer = self._http.request(method, self._base + path, json=body, headers=headers)
            except httpx.TransportError:
                if turn == TRIES - 1:
                    raise
                time.sleep(0.2 * 2**turn)
            else:
                if answer.status_code not in AGAIN or turn == TRIES - 1:
                    return answer
                time.sleep(float(answer.headers.get("Retry-After", "1")))
        raise AssertionError

    def member(self, card: str) -> dict[str, Any]:
        """Find who holds a card, or make a new member of them."""
        card_shown = {"scheme": "card", "value": card}
        found = self.ask("POST", "/members/find", card_shown)
        if found.status_code == 404:
            body = {"member": f"m-{uuid.uuid4().hex}", "identifiers": [card_shown]}
            found = self.ask("POST", "/members", body)
            if found.status_code == 409:
                # Another till was first, or an answer of ours was lost: it is a member by now.
                found = self.ask("POST", "/members/find", card_shown)
        found.raise_for_status()
        return dict(found.json())

    def sell(self, receipt: str, card: str, amount: int) -> dict[str, Any]:
        """Report a basket under the number of its receipt; says what it earned, or that it is still `pending`.

        A basket is kept from the moment of either answer. What is pending is seen later where `Location` says.
        """
        basket = {
            "id": receipt,
            "type": "purchase",
            "member": {"scheme": "card", "value": card},
            "occurred_at": datetime.now(UTC).isoformat(),
            "currency": "USD",
            "amount": amount,
        }
        posted = self.ask("POST", "/activities", basket, Prefer="wait=10")
        posted.raise_for_status()
        return dict(posted.json())

    def pay(self, receipt: str, member: str, points: int) -> dict[str, Any] | None:
        """Take points as payment, in two steps; None where the member has not got them."""
        hold = {"member": member, "unit": "point", "amount": points, "reference": receipt}
        held = self.ask("POST", "/holds", hold, **{"Idempotency-Key": f'"{receipt}"'})
        if held.status_code == 409:
            return None
        held.raise_for_status()
        if held.status_code == 202:
            # Nobody knows yet whether the member has them. Nothing is paid with what is released, even where it is
            # held only then.
            self.ask("POST", f"/holds/{held.json()['hold']}/release", {})
            return None
        # Here the rest is paid by card; where that fails, `release` instead.
        captured = self.ask("POST", f"/holds/{held.json()['hold']}/capture", {})
        captured.raise_for_status()
        return dict(captured.json())


def main() -> None:
    address, program, card = sys.argv[1:]
    with closing(Till(address, program, os.environ["LAUREL_KEY"])) as till:
        member = till.member(card)
        sale = till.sell(f"till-1-{uuid.uuid4().hex[:8]}", card, 4_730)
        if sale["state"] == "pending":
            print(f"{member['member']} will see later what it earned")
        else:
            earned = sum(each["amount"] for each in sale["awards"])
            print(f"{member['member']} earned {earned}, has {sale['balances'][0]['available']}")
        paid = till.pay(f"till-1-{uuid.uuid4().hex[:8]}", member["member"], 10)
        print("paid with 10 points" if paid else "not enough points")


if __name__ == "__main__":
    main()
