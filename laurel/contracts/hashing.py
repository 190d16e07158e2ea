"""The hash of a parsed request: it tells the same request sent again from another under the same key.

A hash starts with its version, so that a later way of hashing can stand beside those that were kept.
"""

import hashlib
from datetime import UTC, datetime
from typing import Final

import msgspec
from pydantic import BaseModel

from laurel.shapes import decoder_of, encode

HASH_VERSION: Final = 1

_CANONICAL = msgspec.json.Encoder(order="deterministic")


def body_hash(body: object, version: int = HASH_VERSION) -> str:
    """Return the hash of a Pydantic object or Struct: instants in UTC, fields at their default left out."""
    plain = msgspec.to_builtins(as_struct(body), builtin_types=(datetime,))
    return hash_of_canonical(_in_utc(plain), version)


def hash_of_canonical(value: object, version: int = HASH_VERSION) -> str:
    """Return the hash of a value whose instants are in UTC already."""
    if version != HASH_VERSION:
        raise ValueError(f"there is no hash version {version}")
    return f"{version}:{hashlib.sha256(_CANONICAL.encode(value)).hexdigest()}"


def as_struct(body: object) -> object:
    """Return the Struct of a Pydantic object; anything else comes back as it is."""
    if isinstance(body, BaseModel):
        return decoder_of(type(body)).decode(encode(body))
    return body


def _in_utc(value: object) -> object:
    match value:
        case datetime():
            return value.astimezone(UTC)
        case dict():
            return {key: _in_utc(inner) for key, inner in value.items()}
        case list():
            return [_in_utc(inner) for inner in value]
        case _:
            return value
