"""Whether a schema may take the place of an older one: fields are only added, with a default."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


def breaks(old: Schema, new: Schema) -> list[str]:
    """Say what a reader or writer of the old schema could no longer rely on."""
    return list(_Comparison(old.get("$defs", {}), new.get("$defs", {})).of(old, new, "", frozenset()))


@dataclass(frozen=True, slots=True)
class _Comparison:
    old_definitions: Schema
    new_definitions: Schema

    def of(self, old: Schema, new: Schema, where: str, above: frozenset[str]) -> Iterator[str]:
        name = old.get("$ref", "")
        if name and name in above:
            return
        above |= {name}
        old, new = _resolved(old, self.old_definitions), _resolved(new, self.new_definitions)
        if _way(old) != _way(new) or set(_words(old)) - set(_words(new)):
            yield f"{where or '/'} was {_said(old)}, is {_said(new)}"
            return
        yield from self._fields(old, new, where, above)
        for inner in ("items", "additionalProperties"):
            if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
                yield from self.of(old[inner], new[inner], f"{where}/*", above)
        yield from self._ways(old, new, where, above)

    def _fields(self, old: Schema, new: Schema, where: str, above: frozenset[str]) -> Iterator[str]:
        fields = new.get("properties", {})
        for field, schema in old.get("properties", {}).items():
            if field in fields:
                yield from self.of(schema, fields[field], f"{where}/{field}", above)
            else:
                yield f"{where}/{field} is gone"
        for field in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{where}/{field} has become required"

    def _ways(self, old: Schema, new: Schema, where: str, above: frozenset[str]) -> Iterator[str]:
        """Compare each way in which a value could be said with what it has become: the one nearest to it."""
        ways, wanted = new.get("anyOf", []), old.get("anyOf", [])
        if len(ways) > len(wanted):
            yield f"{where} has a way more to be said"
        for way in wanted:
            yield from min((list(self.of(way, other, where, above)) for other in ways), key=len)


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    reference = schema.get("$ref")
    return definitions[reference.rsplit("/", 1)[1]] if reference else schema


def _way(schema: Schema) -> tuple[object, object]:
    return ("one of several", None) if "anyOf" in schema else (schema.get("type"), schema.get("format"))


def _words(schema: Schema) -> list[Any]:
    return [schema["const"]] if "const" in schema else schema.get("enum", [])


def _said(schema: Schema) -> str:
    words = _words(schema)
    return " or ".join(map(repr, words)) if words else str(_way(schema)[0])
