"""Who and what a body means: members by id or identifier, partners, units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laurel.errors import Fault, Problem, named_at
from services.gateway.store import requests

if TYPE_CHECKING:
    from laurel.contracts.activity import Identifier
    from services.gateway.guarding import Caller
    from services.gateway.naming import RequestKey
    from services.gateway.seeing import Seen
    from services.gateway.wiring import Api


async def known_member(
    api: Api, program: str, member: str | Identifier, key: RequestKey | None = None, *, at: str = "/member"
) -> str:
    """Return who is meant, by id or identifier: the account that answers for it. `at` is where the body says it.

    404 where nobody knows, 409 where the identifier is blocked; what was asked under `key` before it was blocked is
    answered as before.
    """
    with named_at(at):
        found = await api.known.survivor(program, await _named(api, program, member, key))
        if found is None:
            raise Problem("member_unknown")
    return found


async def known_account(
    api: Api, program: str, member: str | Identifier, key: RequestKey | None = None, *, at: str = "/member"
) -> Seen:
    """Return the same account as it stands, for who needs to know more of it than its id."""
    with named_at(at):
        found = await api.known.account(program, await _named(api, program, member, key))
        if found is None:
            raise Problem("member_unknown")
    return found


async def _named(api: Api, program: str, member: str | Identifier, key: RequestKey | None) -> str:
    if isinstance(member, str):
        return member
    owner = await api.known.owner(program, member.scheme, member.value)
    if owner is not None and owner.is_blocked and key is not None:
        async with api.database.connection() as connection:
            if await requests.find(connection, key) is not None:
                return owner.member
    return await api.known.whose(program, member.scheme, member.value)


async def require_partner(api: Api, caller: Caller, program: str, partner: str, *, at: str = "/partner") -> None:
    """A partner that an admin names must be one that it can know of in this program. `at` is where the body says it."""
    if partner != caller.partner and not await api.known.partner(partner, program, caller):
        with named_at(at):
            raise Problem("partner_unknown")


async def require_unit(api: Api, program: str, version: int, unit: str) -> None:
    """A unit must be points of the program, or have been: what only counts is nobody's to have."""
    if unit not in await api.known.units(program, version):
        raise Problem("invalid", errors=[Fault("/unit", "unknown", "The program has no such unit")])
