"""What a question needs to be judged: rewards, resources and tallies as they stand, read without a lock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec

from laurel.io.database import Connection
from services.redemption.domain.drawing import SEATS, drawn_upon
from services.redemption.domain.heard import Redeem, ResourceTerms, Share, Terms
from services.redemption.domain.moment import Moment
from services.redemption.domain.resources import of_day, quota_of
from services.redemption.domain.state import ResourceKey, RewardKey, State, Stock, TallyKey
from services.redemption.store.pools import read_lots

_STOCK = """
    select s.reward, s.version, s.total, s.reserved, s.taken, r.version, r.document
    from unnest($2::text[]) as k (reward)
    join stock s on s.program = $1 and s.reward = k.reward
    join rewards r on r.program = s.program and r.reward = s.reward"""
_PAGE = "select reward from stock where program = $1 and reward > $2 and version > 0 order by reward limit $3"
_TALLIES = """
    select t.name, t.used from unnest($2::text[]) as k (name) join tallies t on t.program = $1 and t.name = k.name"""
_RESOURCES = """
    select r.resource, r.document from unnest($2::text[]) as k (resource)
    join resources r on r.program = $1 and r.resource = k.resource order by r.resource, r.version"""
_ALL = "select resource, document from resources where program = $1 order by resource, version"

_decode_terms = msgspec.json.Decoder(Terms).decode
_decode_resource = msgspec.json.Decoder(ResourceTerms).decode


class AskedViews:
    """Reads for questions; nothing is locked, so an answer holds for the moment it was read at."""

    async def state_of(self, connection: Connection, program: str, wishes: Sequence[tuple[Redeem, Moment]]) -> State:
        """Return what the wishes are judged by."""
        state = State()
        names = sorted({heard.reward for heard, _ in wishes})
        for reward, version, total, reserved, taken, each, document in await connection.fetch(_STOCK, program, names):
            key = RewardKey(program, reward)
            state.stock[key] = Stock(key, version, total, reserved, taken)
            state.terms[key, each] = _decode_terms(document)
        await read_lots(connection, state.stock)
        tallies: set[TallyKey] = set()
        resources: set[ResourceKey] = set()
        for heard, moment in wishes:
            drawn = drawn_upon(state, heard, moment)
            tallies |= drawn[0]
            resources |= drawn[1]
        found = await connection.fetch(_TALLIES, program, sorted(tally.name for tally in tallies)) if tallies else []
        state.tallies.update({TallyKey(program, name): used for name, used in found})
        if resources:
            rows = await connection.fetch(_RESOURCES, program, sorted(each.resource for each in resources))
            state.resources.update(_said(program, rows))
        return state

    async def page(self, connection: Connection, program: str, after: str, limit: int) -> list[str]:
        """Return a page of the names of a program's rewards."""
        return [reward for (reward,) in await connection.fetch(_PAGE, program, after, limit)]

    async def resources(self, connection: Connection, program: str) -> list[dict[str, Any]]:
        """Return everything that was said of a program's resources, the newest of the same days alone."""
        newest: dict[tuple[str, date | None, date | None], ResourceTerms] = {}
        for resource, document in await connection.fetch(_ALL, program):
            terms = _decode_resource(document)
            key = (resource, terms.from_, terms.until)
            newest.pop(key, None)
            newest[key] = terms
        return [{"resource": key[0], **msgspec.to_builtins(terms)} for key, terms in newest.items()]

    async def resource(
        self, connection: Connection, program: str, resource: str, day: date, share: Share
    ) -> dict[str, Any] | None:
        """Return how a resource stands on a day; None where it was never published."""
        rows = await connection.fetch(_RESOURCES, program, [resource])
        if not rows:
            return None
        terms = of_day([_decode_resource(document) for _, document in rows], day)
        name = f"{SEATS}:{resource}:{day.isoformat()}"
        found = await connection.fetch(_TALLIES, program, [name])
        taken = found[0][1] if found else 0
        quota = 0 if terms is None else quota_of(terms.capacity, terms.share or share)
        return {
            "resource": resource,
            "on": day.isoformat(),
            "capacity": 0 if terms is None else terms.capacity,
            "quota": quota,
            "taken": taken,
            "left": max(0, quota - taken),
            "partner": None if terms is None else terms.partner,
        }


def _said(program: str, rows: Sequence[Any]) -> dict[ResourceKey, tuple[ResourceTerms, ...]]:
    said: dict[ResourceKey, tuple[ResourceTerms, ...]] = {}
    for resource, document in rows:
        key = ResourceKey(program, resource)
        said[key] = (*said.get(key, ()), _decode_resource(document))
    return said
