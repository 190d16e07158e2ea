"""Events of points and redemption, as far as the gateway looks at them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any


def message(type_: str, said: dict[str, Any], correlation: str = "a:grocery:acme:1:t-1", **changes: Any) -> Any:
    whole = {
        "source": "laurel/points/2",
        "sequence": 7,
        "type": type_,
        "program": "grocery",
        "member": "m-1",
        "correlation": correlation,
        "body": json.dumps(said).encode(),
        **changes,
    }
    return SimpleNamespace(**whole)
