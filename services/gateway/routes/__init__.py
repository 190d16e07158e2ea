"""The public API: one file per resource."""

from fastapi import APIRouter

from services.gateway.routes import (
    activities,
    adjustments,
    approvals,
    batches,
    claims,
    clocks,
    copies,
    holds,
    keys,
    matches,
    members,
    partners,
    partnerships,
    programs,
    quotes,
    redemptions,
    reports,
    rewards,
)

# A path is looked for in this order, so what is asked most comes first.
ROUTERS: tuple[APIRouter, ...] = (
    activities.router,
    claims.router,
    approvals.router,
    members.router,
    matches.router,
    programs.router,
    partners.router,
    partnerships.router,
    keys.router,
    quotes.router,
    batches.router,
    rewards.router,
    redemptions.router,
    holds.router,
    adjustments.router,
    clocks.router,
    copies.router,
    reports.router,
)
