"""Keys of partners, as an operator makes them, and the header that shows one."""

from __future__ import annotations

from typing import Any

import httpx

from tests.gateway.stage import PROGRAM


async def key(http: httpx.AsyncClient, partner: str = "acme", **changes: Any) -> dict[str, Any]:
    await http.put(f"/v1/partners/{partner}", json={"name": partner.title()})
    body = {"scopes": ["earn", "read"], "programs": [PROGRAM], **changes}
    answer = await http.post(f"/v1/partners/{partner}/keys", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def bearer(made: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {made['secret']}"}
