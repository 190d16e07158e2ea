"""Webhooks: who wants to be told what, and which worker tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from laurel.io.database import Connection

ENABLED = "enabled"
DISABLED = "disabled"
ASKED = "asked"
"""Why a webhook is disabled: somebody wanted it so; `failing` and `gone` are what its receiver brought about."""
KEY_ENDED = "key_ended"
"""The key that answers for it was revoked, or has expired."""


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as it is kept. Until before_until the secret of the generation before signs, too."""

    webhook: str
    partner: str
    created_by: str
    url: str
    types: tuple[str, ...]
    programs: tuple[str, ...]
    own_only: bool
    generation: int
    before_until: datetime | None
    state: str
    reason: str | None
    changed_at: datetime
    created_at: datetime
    version: int
    position: int
    failing_since: datetime | None
    last_error: str | None
    delivered_at: datetime | None
    missed_at: datetime | None


_COLUMNS = (
    "webhook, partner, created_by, url, types, programs, own_only, generation, before_until, state, reason, "
    "changed_at, created_at, version, position, failing_since, last_error, delivered_at, missed_at"
)
_ADD = f"""
    insert into webhooks (webhook, partner, created_by, url, types, programs, own_only, state, changed_at, created_at,
        position)
    select $1, $2, $3, $4, $5::text[], $6::text[], $7, 'enabled', $8, $8, position from event_head
    returning {_COLUMNS}
"""
_COUNT = "select count(*) from webhooks where partner = $1"
_FIND = f"select {_COLUMNS} from webhooks where webhook = $1"
_LIST = f"""
    select {_COLUMNS} from webhooks where partner = any($1::text[]) and webhook > $2 order by webhook limit $3
"""
_LIST_ALL = f"select {_COLUMNS} from webhooks where webhook > $1 order by webhook limit $2"
_DELETE = "delete from webhooks where webhook = $1 returning webhook"
_ROTATE = f"""
    update webhooks set generation = generation + 1, before_until = $2, version = version + 1, changed_at = $3
    where webhook = $1 returning {_COLUMNS}
"""
_SET_STATE = f"""
    update webhooks set state = $2, reason = $3, version = version + 1, failing_since = null, changed_at = $4,
        created_by = case when $2 = 'enabled' then $5 else created_by end
    where webhook = $1 and (state <> $2 or ($2 = 'enabled' and created_by <> $5)) returning {_COLUMNS}
"""
# Keys are few, and each is found by its id; what is told is told no longer than a look of the workers later.
_END = f"""
    update webhooks w set state = 'disabled', reason = '{KEY_ENDED}', version = version + 1, changed_at = $1
    from api_keys k
    where w.state = 'enabled' and k.key = w.created_by and (k.revoked_at is not null or k.expires_at <= $1)
"""
_TOUCH = "update webhooks set version = version + 1 where webhook = $1"

# Who tells a webhook holds it until a moment of the database's own clock, and says again and again that it still does.
_CLAIM = f"""
    update webhooks set holder = $1, held_until = clock_timestamp() + $2::interval
    where webhook in (
        select webhook from webhooks where state = 'enabled' and held_until < clock_timestamp()
        order by held_until limit $3 for update skip locked)
    returning {_COLUMNS}
"""
_RENEW = f"""
    update webhooks set held_until = clock_timestamp() + $2::interval
    where holder = $1 and webhook = any($3::text[]) returning {_COLUMNS}
"""
_RELEASE = "update webhooks set holder = '', held_until = '-infinity' where holder = $1 and webhook = $2"
_PROGRESS = """
    update webhooks set position = greatest(position, $3), failing_since = $4, last_error = $5,
        delivered_at = coalesce($6, delivered_at), missed_at = coalesce($7, missed_at)
    where webhook = $1 and holder = $2 returning version
"""
_GIVE_UP = """
    update webhooks set state = 'disabled', reason = $3, version = version + 1, changed_at = $4
    where webhook = $1 and holder = $2
"""
_FAILED = f"select count(*) from webhooks where state = 'disabled' and reason not in ('{ASKED}', '{KEY_ENDED}')"


async def add(
    connection: Connection,
    webhook: str,
    partner: str,
    created_by: str,
    url: str,
    types: Sequence[str],
    programs: Sequence[str],
    at: datetime,
    *,
    own_only: bool,
) -> WebhookRow:
    """Add a webhook; it is told what comes from now on."""
    row = await connection.fetchrow(_ADD, webhook, partner, created_by, url, list(types), list(programs), own_only, at)
    assert row is not None
    return _row(row)


async def count(connection: Connection, partner: str) -> int:
    return int(await connection.fetchval(_COUNT, partner))


async def find(connection: Connection, webhook: str) -> WebhookRow | None:
    row = await connection.fetchrow(_FIND, webhook)
    return None if row is None else _row(row)


async def listed(connection: Connection, partner: str | None, after: str, most: int) -> list[WebhookRow]:
    """Return the webhooks of a partner, or with None of all, behind one."""
    if partner is None:
        return [_row(row) for row in await connection.fetch(_LIST_ALL, after, most)]
    return [_row(row) for row in await connection.fetch(_LIST, [partner], after, most)]


async def delete(connection: Connection, webhook: str) -> bool:
    """Say whether it was there."""
    return await connection.fetchval(_DELETE, webhook) is not None


async def rotate(connection: Connection, webhook: str, before_until: datetime, at: datetime) -> WebhookRow | None:
    """Give it another secret; until `before_until` the one before signs, too."""
    row = await connection.fetchrow(_ROTATE, webhook, before_until, at)
    return None if row is None else _row(row)


async def set_state(
    connection: Connection, webhook: str, state: str, reason: str | None, at: datetime, key: str
) -> WebhookRow | None:
    """Enable or disable it; None where that is so already. The key that enables it answers for it from then on.

    So one that is enabled is enabled anew by another key.
    """
    row = await connection.fetchrow(_SET_STATE, webhook, state, reason, at, key)
    return None if row is None else _row(row)


async def end_with_keys(connection: Connection, at: datetime) -> None:
    """Disable those for which no good key answers any more."""
    await connection.execute(_END, at)


async def touch(connection: Connection, webhook: str) -> None:
    """Have whoever tells it look again at what waits."""
    await connection.execute(_TOUCH, webhook)


async def claim(connection: Connection, holder: str, lease: timedelta, most: int) -> list[WebhookRow]:
    """Take webhooks that nobody tells."""
    return [_row(row) for row in await connection.fetch(_CLAIM, holder, lease, most)]


async def renew(connection: Connection, holder: str, lease: timedelta, webhooks: Sequence[str]) -> list[WebhookRow]:
    """Hold on to these; those that are not answered are somebody else's, or gone."""
    return [_row(row) for row in await connection.fetch(_RENEW, holder, lease, list(webhooks))]


async def release(connection: Connection, holder: str, webhook: str) -> None:
    await connection.execute(_RELEASE, holder, webhook)


async def progress(
    connection: Connection,
    webhook: str,
    holder: str,
    position: int,
    failing_since: datetime | None,
    last_error: str | None,
    delivered_at: datetime | None,
    missed_at: datetime | None,
) -> int | None:
    """Keep how far it was told, lock it, and return its version; None where it is no longer the holder's."""
    version: int | None = await connection.fetchval(
        _PROGRESS, webhook, holder, position, failing_since, last_error, delivered_at, missed_at
    )
    return version


async def give_up(connection: Connection, webhook: str, holder: str, reason: str, at: datetime) -> None:
    await connection.execute(_GIVE_UP, webhook, holder, reason, at)


async def failed(connection: Connection) -> int:
    """Return how many are disabled because of their receivers."""
    return int(await connection.fetchval(_FAILED))


def _row(row: object) -> WebhookRow:
    values = dict(row)  # type: ignore[call-overload]
    return WebhookRow(**{**values, "types": tuple(values["types"]), "programs": tuple(values["programs"])})
