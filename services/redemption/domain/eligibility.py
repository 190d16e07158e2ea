"""Who may have a reward, when and for whom: everything that stands in the way, each with its code."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from laurel.calendars import local_date, months_after, zone_named
from services.redemption.domain.asking_terms import holds
from services.redemption.domain.days import days_of, falls_in, today
from services.redemption.domain.drawing import is_blank
from services.redemption.domain.heard import Eligibility, Redeem, Stands, Terms
from services.redemption.domain.moment import Moment
from services.redemption.domain.reasons import Reason, invalid, not_eligible

_KINDS = {"text": str, "integer": int, "boolean": bool}


def what_stands_in_the_way(terms: Terms, heard: Redeem, moment: Moment) -> Iterator[Reason]:
    """Yield the reasons that lie in the reward, the request and the member; not those that lie in what is counted."""
    yield from _fits(terms, heard)
    yield from _offered(terms, moment)
    yield from _member(terms, heard, moment)
    if terms.owner_only and (heard.for_other or heard.beneficiary not in {None, heard.member}):
        yield not_eligible("This reward is for the member alone", "beneficiary")
    if terms.quantity_max is not None and heard.pieces > terms.quantity_max:
        yield Reason("limit_reached", f"At most {terms.quantity_max} at once", {"most": terms.quantity_max})
    dark = [day for day in days_of(heard, moment) if falls_in(day, terms.blackouts)]
    if dark:
        yield Reason("blacked_out", f"Not offered on {dark[0]}", {"on": [day.isoformat() for day in dark]})


def _fits(terms: Terms, heard: Redeem) -> Iterator[Reason]:
    """What is asked for must be what the reward is about; nothing of it is passed over."""
    if terms.segments and not heard.segments:
        yield invalid("Name the resources and days", "/segments", "missing")
    if heard.segments and not terms.segments:
        yield invalid("This reward has no segments", "/segments")
    if terms.resource is not None and heard.on is None:
        yield invalid("Name the day", "/on", "missing")
    for name, kind in sorted(terms.attributes.items()):
        value = heard.attributes.get(name)
        if value is not None and type(value) is not _KINDS[kind]:
            yield invalid(f"{name} is of the kind {kind}", f"/attributes/{name}", "wrong_type")
        elif name in _needed(terms) and is_blank(value):
            yield invalid(f"This reward needs {name}", f"/attributes/{name}", "missing")


def _needed(terms: Terms) -> set[str]:
    named = {limit.per for limit in terms.limits} | {limit.each for limit in terms.limits if limit.each is not None}
    needed = {name.removeprefix("attributes.") for name in named if name.startswith("attributes.")}
    return {*needed, terms.key} if terms.key is not None and terms.key_needed else needed


def _offered(terms: Terms, moment: Moment) -> Iterator[Reason]:
    if terms.opens_at is not None and moment.at < terms.opens_at:
        yield not_eligible(f"Not offered before {terms.opens_at.isoformat()}", "not_yet_open")
    if terms.closes_at is not None and moment.at >= terms.closes_at:
        yield not_eligible(f"Not offered since {terms.closes_at.isoformat()}", "closed")


def _member(terms: Terms, heard: Redeem, moment: Moment) -> Iterator[Reason]:
    wanted, stands = terms.eligibility, heard.stands or Stands()
    if wanted is None:
        return
    if wanted.tiers is not None and stands.tier not in wanted.tiers:
        yield not_eligible(f"For {', '.join(wanted.tiers)} alone", "tier")
    if wanted.segments is not None and not set(wanted.segments) & set(stands.segments):
        yield not_eligible(f"For {', '.join(wanted.segments)} alone", "segment")
    yield from _age(wanted, stands, moment)
    if wanted.where is not None and not holds(wanted.where, terms, heard, moment):
        yield not_eligible("The condition of the reward is not met", "where")


def _age(wanted: Eligibility, stands: Stands, moment: Moment) -> Iterator[Reason]:
    if wanted.member_days is None and wanted.member_months is None:
        return
    if stands.enrolled_at is None:
        yield not_eligible("It is not known since when this is a member", "member_since")
        return
    since = local_date(stands.enrolled_at, zone_named(moment.program.zone))
    try:
        first = months_after(since, wanted.member_months or 0) + timedelta(days=wanted.member_days or 0)
    except (OverflowError, ValueError):
        first = date.max  # longer than there are dates
    if today(moment) < first:
        yield not_eligible(f"For this member from {first.isoformat()} on", "member_since")
