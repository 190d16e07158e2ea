"""Who may do what: keys, their scopes, and which programs and partners they can see."""

from __future__ import annotations

import copy
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from laurel.errors import Problem
from services.gateway.knowing import Remembered
from services.gateway.naming import new_id
from services.gateway.store import partners
from services.gateway.store.partners import KeyRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from laurel.io.database import Database

EVERYTHING: Final = "*"
"""In a key's programs: all there are and will be. Only the operator's first key has it."""
SCOPES: Final = ("earn", "redeem", "members", "read", "adjust", "admin")

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_TOKEN: Final = re.compile(r"lk_([0-9a-z]{10})_[0-9a-z]{40}")
_CACHED_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds the key of this request."""

    key: str
    partner: str
    scopes: frozenset[str]
    programs: frozenset[str]
    adjust_limit: int | None = None
    rate_limit: int | None = None

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes

    @property
    def is_operator(self) -> bool:
        """Whether the key is one of all programs there are and will be."""
        return EVERYTHING in self.programs

    def sees_program(self, program: str) -> bool:
        return self.is_operator or program in self.programs

    def sees_programs(self, programs: Iterable[str]) -> bool:
        return self.is_operator or self.programs.issuperset(programs)

    def require(self, *scopes: str) -> None:
        """Refuse unless the key has one of these scopes; `admin` may read everything."""
        if self.scopes.isdisjoint(scopes) and not ("read" in scopes and self.is_admin):
            wanted = " or ".join(scopes)
            raise Problem("scope_missing", f"This needs a key with the scope {wanted}.")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key as it was made. The secret is told once and kept nowhere."""

    row: KeyRow
    secret: str


def make_key(
    *,
    partner: str,
    scopes: Iterable[str],
    programs: Iterable[str],
    at: datetime,
    expires_at: datetime | None = None,
    adjust_limit: int | None = None,
    rate_limit: int | None = None,
    created_by: str | None = None,
) -> NewKey:
    """Make a key."""
    secret = make_secret()
    row = KeyRow(
        new_id("key"),
        secret.prefix,
        secret.hash,
        partner,
        tuple(sorted(set(scopes), key=SCOPES.index)),
        tuple(sorted(set(programs))),
        adjust_limit,
        expires_at,
        at,
        created_by,
        None,
        rate_limit=rate_limit,
    )
    return NewKey(row, secret.token)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of some 200 bits, which is why a plain hash protects it."""

    token: str
    prefix: str
    hash: bytes


def make_secret() -> Secret:
    prefix, rest = _random(10), _random(40)
    token = f"lk_{prefix}_{rest}"
    return Secret(token, f"lk_{prefix}", _hash(token))


class Guard:
    """Tells who is calling, from the `Authorization` header."""

    def __init__(self, database: Database, clock: Callable[[], datetime], cache_seconds: float) -> None:
        self._database = database
        self._clock = clock
        self._known: Remembered[bytes, KeyRow] = Remembered(_CACHED_MAX, cache_seconds)

    def patient(self) -> Guard:
        """Return the same guard for those who wait for a connection as long as it takes."""
        same = copy.copy(self)
        same._database = self._database.patient()  # noqa: SLF001 - it is one of us
        return same

    async def caller(self, authorization: str | None) -> Caller:
        """Return who holds the key; 401 for one that is missing, wrong, expired or revoked."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or _TOKEN.fullmatch(token) is None:
            raise Problem("unauthenticated")
        row = await self.key(token)
        if row is None:
            raise Problem("unauthenticated")
        scopes, programs = frozenset(row.scopes), frozenset(row.programs)
        return Caller(row.key, row.partner, scopes, programs, row.adjust_limit, row.rate_limit)

    async def is_good(self, authorization: str | None) -> bool:
        """Tell whether whoever was let in by this header still would be."""
        try:
            await self.caller(authorization)
        except Problem:
            return False
        return True

    async def key(self, token: str) -> KeyRow | None:
        """Return the key that this secret opens, if it is good now."""
        hashed = _hash(token)
        row = self._known.get(hashed)
        if row is None:
            row = await self._look_up(token, hashed)
        if row is None:
            return None
        ends = [row.expires_at, row.old_until if hashed == row.old_hash else None]
        now = self._clock() if any(ends) else None
        return None if any(end is not None and now is not None and end <= now for end in ends) else row

    def forget(self) -> None:
        """Trust nothing that was looked up before; this instance has just revoked a key."""
        self._known.clear()

    async def _look_up(self, token: str, hashed: bytes) -> KeyRow | None:
        async with self._database.connection() as connection:
            row = await partners.key_by_prefix(connection, token.rpartition("_")[0])
        if row is None or row.revoked_at is not None:
            return None
        if not any(hmac.compare_digest(known, hashed) for known in (row.hash, row.old_hash) if known is not None):
            return None
        self._known.put(hashed, row)
        return row


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
