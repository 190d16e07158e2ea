"""The documents that describe the events: a JSON Schema of each, and AsyncAPI 3 for all of them."""

from typing import Any, Final

from pydantic.json_schema import models_json_schema

from laurel.contracts.registry import (
    DEAD_TOPICS,
    EVENTS,
    GATEWAY_TOPIC,
    POINTS_TOPIC,
    PROGRAMS_TOPIC,
    REDEMPTION_TOPIC,
    EventKind,
)
from laurel.contracts.registry import TOPICS as _TOPICS

_ABOUT: Final = {
    GATEWAY_TOPIC: "What callers asked for. Internal: not for outside use.",
    POINTS_TOPIC: "What happened to members and their points.",
    REDEMPTION_TOPIC: "What became of redemptions and vouchers, and what they ask of points.",
    PROGRAMS_TOPIC: "Every published version of every program. Compacted, keyed program:version. Internal.",
    **dict.fromkeys(DEAD_TOPICS, "Messages that could not be processed. Internal."),
}
_PUBLIC: Final = (POINTS_TOPIC, REDEMPTION_TOPIC)
_HEADERS: Final[dict[str, tuple[str, bool]]] = {
    "ce_specversion": ("Always 1.0.", True),
    "ce_id": ("The same for every repeat of an event, and of no other with the same ce_source.", True),
    "ce_source": ("Who says it, with the epoch of its database: laurel/points/1.", True),
    "ce_type": ("The name of the event's type.", True),
    "ce_time": ("When the event was accepted, RFC 3339.", True),
    "ce_subject": ("The member; left out where there is none.", False),
    "ce_partitionkey": ("The record's key.", True),
    "ce_sequence": ("Counts 1, 2, 3 for each key within one ce_source, without a gap.", True),
    "ce_causationid": ("The id of the message that led to this one.", False),
    "ce_correlationid": ("The id of the request that began it.", False),
    "ce_traceparent": ("W3C trace context.", False),
    "content-type": ("Always application/json.", True),
}


def schema_of(kind: EventKind) -> dict[str, Any]:
    """Return the JSON Schema of an event."""
    schema = kind.model.model_json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:laurel:event:{kind.name}",
        **schema,
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3 document of every topic."""
    models = [(kind.model, "validation") for kind in EVENTS.values()]
    _, defined = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Laurel",
            "version": "1.0.0",
            "description": "CloudEvents 1.0, Kafka binary mode. Fields are only added: ignore unknown ones.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic: _channel(topic, kinds) for topic, kinds in _TOPICS.items()},
        "operations": {f"say-{topic}": _operation(topic, kinds) for topic, kinds in _TOPICS.items()},
        "components": {
            "schemas": {**defined["$defs"], "CloudEventHeaders": _headers()},
            "messages": {kind.name: _message(kind) for kind in EVENTS.values()},
        },
    }


def _channel(topic: str, kinds: tuple[EventKind, ...]) -> dict[str, Any]:
    return {
        "address": topic,
        "description": _ABOUT[topic],
        "tags": [{"name": "public" if topic in _PUBLIC else "internal"}],
        "messages": {kind.name: {"$ref": f"#/components/messages/{kind.name}"} for kind in kinds},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
    }


def _operation(topic: str, kinds: tuple[EventKind, ...]) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{kind.name}"} for kind in kinds],
    }


def _message(kind: EventKind) -> dict[str, Any]:
    summary = (kind.model.__doc__ or "").strip().splitlines()[0]
    key = "program:version" if PROGRAMS_TOPIC in kind.topics else "program:member; without a member program:"
    return {
        "name": kind.name,
        "title": kind.model.__name__,
        "summary": summary,
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/CloudEventHeaders"},
        "payload": {"$ref": f"#/components/schemas/{kind.model.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}},
    }


def _headers() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "CloudEvents attributes as Kafka headers.",
        "properties": {name: {"type": "string", "description": about} for name, (about, _) in _HEADERS.items()},
        "required": [name for name, (_, always) in _HEADERS.items() if always],
    }
