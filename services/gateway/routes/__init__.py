"""The public API: one file per resource."""

from fastapi import APIRouter

from services.gateway.routes import (
    activities,
    adjustments,
    approvals,
    audits,
    batches,
    changes,
    claims,
    clocks,
    copies,
    events,
    exchanges,
    holds,
    households,
    identifiers,
    keys,
    matches,
    members,
    merges,
    partners,
    partnerships,
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
    claims.router,
    approvals.router,
    members.router,
    matches.router,
    identifiers.router,
    changes.router,
    merges.router,
    households.router,
    programs.router,
    partners.router,
    partnerships.router,
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
<<<<<<< HEAD
    audits.router,
=======
    events.router,
>>>>>>> main
)
