"""Vouchers as screens show them: by code, by member, by state; codes only for those who ask with the token."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from laurel.codes import read_code
from laurel.io.database import Connection
from services.redemption.ports import TurnSeen
from services.redemption.store import turning
from services.redemption.store.vault import SealBrokenError, Vault

# What is over is shown as such, also before the timer has met it.
STATE: Final = "case when v.state = 'issued' and v.expires_at <= $2 then 'expired' else v.state end"
SHOWN: Final = f"""
    v.member, v.voucher, {STATE} as state, v.value, v.currency, v.issued_at, v.expires_at, v.suffix,
    v.not_above_basket, v.remaining, v.percent, v.product, v.parts, v.elsewhere, v.redemption, v.conversion,
    v.sealed, m.key"""

# Each row is reached by its key, whatever the planner believes of a young table.
WITH_KEY: Final = """
    cross join lateral (
        select key from members where program = v.program and member = v.member offset 0) m"""

_BY_CODE: Final = f"""
    select {SHOWN}
    from unnest($3::bytea[]) as k (digest)
    cross join lateral (select * from vouchers where program = $1 and digest = k.digest offset 0) v
    {WITH_KEY}"""

_LISTED: Final = f"""
    select {SHOWN} from vouchers v {WITH_KEY}
    where v.program = $1 and (v.member, v.voucher) > ($3, $4) and ($5::text is null or {STATE} = $5)
    order by v.member, v.voucher limit $6"""

_LISTED_OF: Final = f"""
    select {SHOWN} from vouchers v {WITH_KEY}
    where v.program = $1 and v.member = $3 and v.voucher > $4 and ($5::text is null or {STATE} = $5)
    order by v.voucher limit $6"""


class VoucherViews:
    """The reads of vouchers at the internal door."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def by_code(
        self, connection: Connection, program: str, code: str, now: datetime | None
    ) -> dict[str, Any] | None:
        """Return the voucher of a code, however it was typed; None where there is none."""
        plain = read_code(code)
        digests = [self._vault.foreign_digest(program, code)]
        if plain is not None:
            digests.append(self._vault.digest(program, plain))
        row = await connection.fetchrow(_BY_CODE, program, now, digests)
        return None if row is None else self._shown(row, program)

    async def listed(
        self,
        connection: Connection,
        program: str,
        *,
        member: str | None,
        state: str | None,
        after: tuple[str, str],
        limit: int,
        now: datetime | None,
    ) -> list[dict[str, Any]]:
        """Return a page of vouchers in the order of members and ids."""
        if member is None:
            rows = await connection.fetch(_LISTED, program, now, *after, state, limit)
        else:
            if after[0] > member:
                return []
            behind = after[1] if after[0] == member else ""
            rows = await connection.fetch(_LISTED_OF, program, now, member, behind, state, limit)
        return [self._shown(row, program) for row in rows]

    async def turned(self, connection: Connection, program: str, as_of: datetime) -> TurnSeen | None:
        """Return how far the vouchers of a turn are."""
        return await turning.find(connection, program, as_of)

    def _shown(self, row: Iterable[Any], program: str) -> dict[str, Any]:
        member, voucher, state, value, currency, issued_at, expires_at, suffix, bound, *rest = row
        remaining, percent, product, parts, elsewhere, redemption, conversion, sealed, member_key = rest
        return {
            "voucher": voucher,
            "code": code_of(self._vault, program, member, voucher, sealed, member_key),
            "suffix": suffix,
            "state": state,
            "value": value,
            "left": remaining if state == "issued" else None if value is None else 0,
            "currency": currency,
            "issued_at": issued_at.isoformat(),
            "expires_at": expires_at.isoformat() if expires_at is not None else None,
            "member": member,
            "redemption": redemption or None,
            "conversion": conversion or None,
            "percent": percent,
            "product": product,
            "parts": parts,
            "used_here": not elsewhere,
            "not_above_basket": bound,
        }


def code_of(
    vault: Vault, program: str, member: str, voucher: str, sealed: bytes, member_key: bytes | None
) -> str | None:
    """Return a voucher's code; nothing where the member's key was forgotten."""
    if member_key is None:
        return None
    try:
        return vault.open(member_key, program, member, voucher, sealed)
    except SealBrokenError:
        return None
