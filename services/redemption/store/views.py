"""Reads for screens: plain rows, no locks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from laurel.io.database import Connection
from services.redemption.domain.heard import Terms
from services.redemption.domain.state import RewardKey, Stock
from services.redemption.store.pools import read_lots
from services.redemption.store.vault import Vault
from services.redemption.store.voucher_views import VoucherViews, code_of

_REWARDS = """
    select s.reward, s.version, s.total, s.reserved, s.taken, r.document, r.at
    from stock s join rewards r on r.program = s.program and r.reward = s.reward and r.version = s.version
    where s.program = $1 and s.reward > $2
    order by s.reward limit $3"""

_VOUCHERS = """
    select v.member, v.voucher, v.state, v.value, v.currency, v.issued_at, v.expires_at, v.suffix, v.sealed, m.key
    from vouchers v join members m on m.program = v.program and m.member = v.member
    where v.program = $1 and v.redemption = $2 and v.redemption <> ''"""
# Vouchers are parted by member, so that whose they are spares looking into every part.
_VOUCHERS_OF_MEMBER = f"{_VOUCHERS} and v.member = $3 and m.member = $3"
_IN_ORDER = "order by v.member, v.number"

_STANDINGS = """
    select redemption, state from sagas where program = $1 and member = $2 and redemption = any($3::text[])"""

_decode_terms = msgspec.json.Decoder(Terms).decode


class PostgresViews(VoucherViews):
    """The reads of the internal door."""

    def partner_secret(self, program: str, reward: str) -> str:
        """Return the common secret with the partner that fulfils a reward."""
        return self._vault.partner_secret(program, reward)

    async def rewards(self, connection: Connection, program: str, *, after: str, limit: int) -> list[dict[str, Any]]:
        """Return a page of a program's catalogue in the order of reward ids, with what is left of each."""
        rows = await connection.fetch(_REWARDS, program, after, limit)
        stock = {RewardKey(program, row[0]): Stock(RewardKey(program, row[0]), *row[1:5]) for row in rows}
        await read_lots(connection, stock)
        return [_reward(each, *row[5:]) for each, row in zip(stock.values(), rows, strict=True)]

    async def vouchers(
        self, connection: Connection, program: str, redemption: str, member: str | None
    ) -> list[dict[str, Any]]:
        """Return the vouchers of a redemption with their codes; a forgotten member's codes are null."""
        if member is None:
            rows = await connection.fetch(f"{_VOUCHERS} {_IN_ORDER}", program, redemption)
        else:
            rows = await connection.fetch(f"{_VOUCHERS_OF_MEMBER} {_IN_ORDER}", program, redemption, member)
        return [_voucher(row, self._vault, program) for row in rows]

    async def standings(
        self, connection: Connection, program: str, member: str, redemptions: Sequence[str]
    ) -> dict[str, str]:
        """Return the states of those of these redemptions that are the member's."""
        if not redemptions:
            return {}
        rows = await connection.fetch(_STANDINGS, program, member, sorted(set(redemptions)))
        return {str(row[0]): str(row[1]) for row in rows}


def _reward(stock: Stock, document: bytes, at: datetime) -> dict[str, Any]:
    terms = _decode_terms(document)
    return {
        "reward": stock.key.reward,
        "name": terms.name,
        "kind": terms.kind,
        "price": {"unit": terms.unit, "amount": terms.price},
        "value": None if terms.value is None else {"amount": terms.value.amount, "currency": terms.value.currency},
        "valid_days": terms.valid_days,
        "stock": stock.total,
        "left": stock.left(terms),
        "version": stock.version,
        "published_at": at.isoformat(),
    }


def _voucher(row: Iterable[Any], vault: Vault, program: str) -> dict[str, Any]:
    member, voucher, state, value, currency, issued_at, expires_at, suffix, sealed, member_key = row
    return {
        "voucher": voucher,
        "member": member,
        "code": code_of(vault, program, member, voucher, sealed, member_key),
        "suffix": suffix,
        "state": state,
        "value": value,
        "currency": currency,
        "issued_at": issued_at.isoformat(),
        "expires_at": expires_at.isoformat() if expires_at is not None else None,
    }
