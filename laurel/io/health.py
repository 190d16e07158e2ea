"""What is not ready, and why: told at `/health/ready` by whoever finds out."""

from __future__ import annotations

from prometheus_client import Gauge

READY = Gauge("laurel_ready", "1 while the part is ready", ["part"])


class Health:
    """The readiness of a process: ready while no part says otherwise."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._details: dict[str, str] = {}

    def not_ready(self, part: str, reason: str) -> None:
        """Say that `part` cannot do its work, and why."""
        self._reasons[part] = reason
        READY.labels(part).set(0)

    def ready(self, part: str) -> None:
        """Say that `part` does its work (again)."""
        self._reasons.pop(part, None)
        READY.labels(part).set(1)

    def detail(self, part: str, text: str) -> None:
        """Tell something that an operator should know, though work goes on; '' takes it back."""
        if text:
            self._details[part] = text
        else:
            self._details.pop(part, None)

    @property
    def is_ready(self) -> bool:
        return not self._reasons

    def reason(self, part: str) -> str:
        """Return why `part` is not ready, '' when it is."""
        return self._reasons.get(part, "")

    def report(self) -> dict[str, object]:
        """Return the body of `/health/ready`."""
        return {
            "status": "ready" if self.is_ready else "not_ready",
            "not_ready": dict(self._reasons),
            "details": dict(self._details),
        }
