"""What is kept of a member as an event, to be told to whoever listens."""

from __future__ import annotations

import json

from services.gateway.hearing import NewEvent
from tests.gateway.stage import PROGRAM


def risen(partner: str | None, cause: str, type_: str = "tier.changed.v1") -> NewEvent:
    """What is kept of a member who rose by what a partner reported."""
    data = {
        "program": PROGRAM,
        "member": "m-9",
        "at": "2026-03-14T09:00:00Z",
        "cause": {"kind": "activity", "id": cause},
    }
    event = {
        "id": "1.grocery.m-9.7",
        "source": "laurel/points/1",
        "subject": "m-9",
        "sequence": "7",
        "causationid": f"1.grocery.m-9.{cause}",
        "correlationid": f"a:grocery:{partner}:1:{cause}",
        "traceparent": "00-1-2-01",
        "data": {**data, "to": "gold"},
    }
    return NewEvent(PROGRAM, "m-9", type_, partner, "laurel/points/1", 7, json.dumps(event).encode())
