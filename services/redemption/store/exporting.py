"""What redemption holds of members, as rows for whoever starts from nothing. No row has the code of a voucher.

For the gateway, which has lost what it heard, also what was last said of each redemption.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from laurel.io.database import Database
from laurel.io.exporting import Exported, Exporter
from laurel.io.topics import main_topic
from services.redemption.announcing import reward_shown, said_last
from services.redemption.domain.heard import Terms
from services.redemption.store.saga_rows import COLUMNS, saga_of

_REDEMPTIONS: Final = """
    select member, redemption, partner, reward, quantity, unit, points, state, code, at
    from sagas where program = $1 and member = any($2::text[]) order by member, redemption
"""
_VOUCHERS: Final = """
    select member, voucher, suffix, state, value, currency, issued_at, expires_at, redemption, conversion
    from vouchers where program = $1 and member = any($2::text[]) order by member, voucher
"""

_TOLD: Final = f"""
    select s.member, {COLUMNS}
    from sagas s where s.program = $1 and s.member = any($2::text[]) order by s.member, s.redemption
"""
# Rewards are said of the program, under the key that has no member.
_REWARDS: Final = """
    select '' as member, r.reward, r.document, r.at
    from rewards r join (
        select reward, max(version) as version from rewards where program = $1 group by reward
    ) newest using (reward, version)
    where r.program = $1 and '' = any($2::text[]) order by r.reward
"""
_decode_terms: Final = msgspec.json.Decoder(Terms).decode


def redemption_exporter(database: Database, kafka_prefix: str) -> Exporter:
    """Return what exports redemptions, vouchers and rewards, and, for the gateway, what was said of redemptions."""
    kinds = {
        "redemptions": Exported(_REDEMPTIONS, _redemption),
        "vouchers": Exported(_VOUCHERS, _voucher),
        "told": Exported(_TOLD, _told),
        "rewards": Exported(_REWARDS, _reward),
    }
    return Exporter(database, "redemption", main_topic("redemption", kafka_prefix), kinds, ("rewards",))


def _redemption(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row is whatever its statement selects
    return {
        "redemption": row["redemption"],
        "partner": row["partner"],
        "reward": row["reward"],
        "quantity": row["quantity"],
        "unit": row["unit"],
        "points": row["points"],
        "state": row["state"],
        "code": row["code"] or None,
        "at": row["at"],
    }


def _voucher(row: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    return {
        "voucher": row["voucher"],
        "suffix": row["suffix"],
        "state": row["state"],
        "value": row["value"],
        "currency": row["currency"],
        "issued_at": row["issued_at"],
        "expires_at": row["expires_at"],
        "redemption": row["redemption"] or None,
        "conversion": row["conversion"] or None,
    }


def _told(row: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    saga = saga_of(tuple(row)[1:])
    named = {"redemption": saga.key.redemption, "partner": saga.partner, "reward": saga.reward}
    said = said_last(saga)
    return named if said is None else {**named, "type": said[0], "data": msgspec.Raw(said[1])}


def _reward(row: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    document = reward_shown(row["reward"], _decode_terms(row["document"]))
    return {"reward": row["reward"], "document": document, "published_at": row["at"]}
