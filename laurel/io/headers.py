"""The CloudEvents headers of a row of the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.io.message import id_of, source_of

if TYPE_CHECKING:
    from laurel.io.outbox import OutboxRow

Header = tuple[str, bytes]

_SPEC_VERSION: Header = ("ce_specversion", b"1.0")
_CONTENT_TYPE: Header = ("content-type", b"application/json")


class Headers:
    """Makes headers, and all that repeats in them once."""

    def __init__(self, service: str, epoch: int) -> None:
        self._service = service
        self._epoch = epoch
        self._sources: dict[str, Header] = {}
        self._types: dict[str, Header] = {}

    def of(self, row: OutboxRow, key: bytes) -> list[Header]:
        """Return the headers of a row whose Kafka key is `key`."""
        program, member, stream = row.key
        source = self._sources.get(stream)
        if source is None:
            source = ("ce_source", source_of(self._service, stream, self._epoch).encode())
            self._sources[stream] = source
        type_ = self._types.get(row.type)
        if type_ is None:
            type_ = self._types[row.type] = ("ce_type", row.type.encode())
        headers = [
            _SPEC_VERSION,
            ("ce_id", id_of(stream, self._epoch, program, member, row.number).encode()),
            source,
            type_,
            ("ce_time", row.at.isoformat().encode()),
            ("ce_partitionkey", key),
            ("ce_sequence", b"%d" % row.number),
            _CONTENT_TYPE,
        ]
        if member:
            headers.append(("ce_subject", member.encode()))
        if row.causation:
            headers.append(("ce_causationid", row.causation.encode()))
        if row.correlation:
            headers.append(("ce_correlationid", row.correlation.encode()))
        if row.traceparent:
            headers.append(("ce_traceparent", row.traceparent.encode()))
        return headers
