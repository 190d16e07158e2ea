"""The public API: one file per resource."""

from fastapi import APIRouter

from services.gateway.routes import (
    activities,
    adjustments,
    batches,
    changes,
    clocks,
    copies,
    exchanges,
    holds,
    households,
    identifiers,
    keys,
    matches,
    members,
    merges,
    partners,
    programs,
    quotes,
    redemptions,
    reports,
    rewards,
    transfers,
    vouchers,
)

# A path is looked for in this order, so what is asked most comes first.
ROUTERS: tuple[APIRouter, ...] = (
    activities.router,
    members.router,
    matches.router,
    identifiers.router,
    changes.router,
    merges.router,
    households.router,
    programs.router,
    partners.router,
    keys.router,
    quotes.router,
    batches.router,
    rewards.router,
    redemptions.router,
    vouchers.router,
    holds.router,
    adjustments.router,
    transfers.router,
    exchanges.router,
    clocks.router,
    copies.router,
    reports.router,
)
