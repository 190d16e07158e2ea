"""What points holds of members, as rows for whoever starts from nothing."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from laurel.io.database import Database
from laurel.io.exporting import Exported, Exporter, Kind
from laurel.io.topics import main_topic
from services.points.domain.moment import Programs
from services.points.store.retelling import Retold
from services.points.store.views import lot_shown

_MEMBERS: Final = """
    select w.member, w.status, w.enrolled_at, w.person, w.attributes, w.merged_into, w.version, t.tier, t.since_at,
        array(select array[b.unit, b.available::text, b.pending::text, b.held::text, b.owed::text, b.earned::text,
                           b.spent::text, b.expired::text, b.reversed::text, b.adjusted::text]
              from balances b where b.program = w.program and b.member = w.member order by b.unit) as balances
    from wallets w left join tiers t using (program, member)
    where w.program = $1 and w.member = any($2::text[]) and w.enrolled_at is not null order by w.member
"""
_LOTS: Final = """
    select member, journal, lot, unit, rule, activity, partner, granted, remaining, held, expired, earned_at,
        available_at, expires_at, funder, version, pending
    from lots where program = $1 and member = any($2::text[]) order by member, journal, lot
"""
_JOURNALS: Final = """
    select j.member, j.journal, j.kind, j.cause, j.partner, j.at, j.occurred_at, j.version,
        array(select array[e.unit, e.account, e.amount::text] from entries e
              where e.program = j.program and e.member = j.member and e.journal = j.journal order by e.entry) as entries
    from journals j where j.program = $1 and j.member = any($2::text[]) order by j.member, j.journal
"""
_LIFETIME: Final = ("earned", "spent", "expired", "reversed", "adjusted")
_NOW: Final = ("available", "pending", "held", "owed")


def points_exporter(database: Database, kafka_prefix: str, programs: Programs) -> Exporter:
    """Return what exports members, lots and journals, and, for the gateway, all that was said of members."""
    kinds: dict[str, Kind] = {
        "members": Exported(_MEMBERS, _member),
        "lots": Exported(_LOTS, lot_shown),
        "journals": Exported(_JOURNALS, _journal),
        "told": Retold(programs),
    }
    return Exporter(database, "points", main_topic("points", kafka_prefix), kinds)


def _member(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row is whatever its statement selects
    return {
        "status": row["status"],
        "enrolled_at": row["enrolled_at"],
        "person": row["person"],
        "attributes": msgspec.json.decode(row["attributes"]) if row["attributes"] else {},
        "merged_into": row["merged_into"],
        "version": row["version"],
        "tier": None if row["tier"] is None else {"name": row["tier"], "since": row["since_at"]},
        "balances": [_balance(*each) for each in row["balances"]],
    }


def _balance(unit: str, *amounts: str) -> dict[str, Any]:
    numbers = [int(each) for each in amounts]
    now, lifetime = numbers[: len(_NOW)], numbers[len(_NOW) :]
    return {
        "unit": unit,
        **dict(zip(_NOW, now, strict=True)),
        "lifetime": dict(zip(_LIFETIME, lifetime, strict=True)),
    }


def _journal(row: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    return {
        "journal": row["journal"],
        "kind": row["kind"],
        "cause": row["cause"],
        "partner": row["partner"] or None,
        "at": row["at"],
        "occurred_at": row["occurred_at"],
        "version": row["version"],
        "entries": [
            {"unit": unit, "account": account, "amount": int(amount)} for unit, account, amount in row["entries"]
        ],
    }
