"""What points holds of members, as rows for whoever starts from nothing."""

from __future__ import annotations

from typing import Any, Final

from laurel.io.database import Database
from laurel.io.exporting import Exported, Exporter, Kind
from laurel.io.topics import main_topic
from services.points.domain import facts as f
from services.points.domain.moment import Programs
from services.points.store.retelling import Retold
from services.points.store.standing import Standing
from services.points.store.views import lot_shown

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
# Every activity that is known for ever, where it was first decided; what waits for a block that is to pay for it stands
# in the queue. What others got for one is no activity of theirs.
_ACTIVITIES: Final = """
    select j.member, j.journal, j.cause as activity, j.partner, j.at, j.occurred_at, j.version, j.facts, a.code,
        convert_from(j.body, 'UTF8')::json ->> 'type' as type,
        exists (select 1 from funding_queue q where q.program = j.program and q.member = j.member
                and q.journal = j.journal and q.funded_in is null) as waits
    from journals j
    cross join lateral (
        select code from activities
        where program = j.program and partner = j.partner and activity = j.cause and member = j.member
            and journal = j.journal
        offset 0) a
    where j.program = $1 and j.member = any($2::text[]) order by j.member, j.journal
"""


def points_exporter(database: Database, kafka_prefix: str, programs: Programs) -> Exporter:
    """Return what exports members and what they have and did, and, for the gateway, all that was said of them."""
    kinds: dict[str, Kind] = {
        "members": Standing(programs),
        "lots": Exported(_LOTS, lot_shown),
        "journals": Exported(_JOURNALS, _journal),
        "activities": Exported(_ACTIVITIES, _activity),
        "told": Retold(programs),
    }
    return Exporter(database, "points", main_topic("points", kafka_prefix), kinds)


def _journal(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row is whatever its statement selects
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


def _activity(row: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    facts = f.decode_facts(row["facts"])
    first = facts[0]
    awards = [fact for fact in facts if isinstance(fact, f.PointsGranted)]
    state = "posted" if row["code"] is None else "refused"
    return {
        "activity": row["activity"],
        "partner": row["partner"],
        "type": row["type"],
        "of": first.of if isinstance(first, f.ActivityReturned) else None,
        "state": "pending" if row["waits"] else state,
        "code": row["code"],
        "journal": row["journal"],
        "at": row["at"],
        "occurred_at": row["occurred_at"],
        "version": row["version"],
        "awards": [
            {"rule": each.rule, "unit": each.unit, "amount": each.amount, "lot": f"{row['journal']}.{each.lot}"}
            for each in awards
        ],
    }
