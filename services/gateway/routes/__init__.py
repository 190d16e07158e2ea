"""The public API: one file per resource."""

from fastapi import APIRouter

from services.gateway.routes import (
    activities,
    batches,
    keys,
    members,
    partners,
    programs,
    quotes,
    redemptions,
    reports,
    rewards,
)

ROUTERS: tuple[APIRouter, ...] = (
    programs.router,
    partners.router,
    keys.router,
    members.router,
    activities.router,
    quotes.router,
    batches.router,
    rewards.router,
    redemptions.router,
    reports.router,
)
