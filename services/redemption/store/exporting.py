"""What redemption holds of members, as rows for whoever starts from nothing. No row has the code of a voucher."""

from __future__ import annotations

from typing import Any, Final

from laurel.io.database import Database
from laurel.io.exporting import Exported, Exporter
from laurel.io.topics import main_topic

_REDEMPTIONS: Final = """
    select member, redemption, partner, reward, quantity, unit, points, state, code, at
    from sagas where program = $1 and member = any($2::text[]) order by member, redemption
"""
_VOUCHERS: Final = """
    select member, voucher, suffix, state, value, currency, issued_at, expires_at, redemption, conversion
    from vouchers where program = $1 and member = any($2::text[]) order by member, voucher
"""


def redemption_exporter(database: Database, kafka_prefix: str) -> Exporter:
    """Return what exports redemptions and vouchers."""
    kinds = {"redemptions": Exported(_REDEMPTIONS, _redemption), "vouchers": Exported(_VOUCHERS, _voucher)}
    return Exporter(database, "redemption", main_topic("redemption", kafka_prefix), kinds)


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
