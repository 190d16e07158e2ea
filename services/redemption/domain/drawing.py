"""Seats, limits and one-time keys: what a request draws from things of which there is only so much.

Each is a name and a number of how much of it is in use; what is drawn stands in the saga and comes back with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from laurel.calendars import zone_named
from laurel.program.windows import WindowFinder
from laurel.values import AMOUNT_MAX
from services.redemption.domain.bargain import Draw
from services.redemption.domain.facts import AnyFact, DrawsReturned
from services.redemption.domain.heard import Limit, Redeem, Segment, Stands, Terms
from services.redemption.domain.moment import Moment
from services.redemption.domain.reasons import Reason
from services.redemption.domain.resources import ResourceBook, quota
from services.redemption.domain.state import ResourceKey, RewardKey, Saga, State, TallyKey

SEATS: Final = "seats"
LIMIT: Final = "limit"
KEY: Final = "key"

_REFUSALS: Final = {SEATS: "sold_out", LIMIT: "limit_reached", KEY: "key_used"}
_ATTRIBUTES: Final = "attributes."
_ESCAPED: Final = str.maketrans({":": "%3A", "/": "%2F", "%": "%25"})


def segments_of(terms: Terms, heard: Redeem) -> tuple[Segment, ...]:
    """Return the resources and days that a request needs seats of."""
    if terms.resource is not None:
        return (Segment(terms.resource, heard.on),) if heard.on is not None else ()
    return heard.segments if terms.segments else ()


def draws(terms: Terms, heard: Redeem, moment: Moment, resources: ResourceBook) -> tuple[Draw, ...]:
    """Return what a request draws, in the order in which what is short of it is told."""
    return (*_seats(terms, heard, moment, resources), *_limits(terms, heard, moment), *_key(terms, heard))


def shortages(drawn: Sequence[Draw], heard: Redeem, tallies: dict[TallyKey, int]) -> Iterator[Reason]:
    """Yield what there is not enough of."""
    for draw in drawn:
        left = draw.of - tallies.get(TallyKey(heard.program, draw.name), 0)
        if draw.amount > left:
            kind, _, name = draw.name.partition(":")
            detail = f"{draw.amount} of {name} were asked for, {max(0, left)} of {draw.of} are left"
            yield Reason(_REFUSALS[kind], detail, {"left": max(0, left), "of": draw.of, "asked": draw.amount})


def is_of_seats(draw: Draw) -> bool:
    """Say whether something of a resource is drawn."""
    return draw.name.startswith(f"{SEATS}:")


def unknown_resources(terms: Terms, heard: Redeem, resources: ResourceBook) -> Iterator[Reason]:
    """Yield resources that nobody has published."""
    for segment in segments_of(terms, heard):
        if segment.resource not in resources:
            yield Reason("resource_unknown", f"There is no resource {segment.resource}", {"resource": segment.resource})


def give_back_draws(saga: Saga) -> tuple[AnyFact, ...]:
    """Put back what a saga drew, if it has anything left of it: of one that is refused, or cancelled after its end."""
    return (DrawsReturned(draws=saga.bargain.drawn),) if saga.bargain.drawn else ()


def _seats(terms: Terms, heard: Redeem, moment: Moment, resources: ResourceBook) -> Iterator[Draw]:
    for segment in segments_of(terms, heard):
        offered = quota(resources.get(segment.resource, ()), segment.on, moment.program.share)
        yield Draw(f"{SEATS}:{segment.resource}:{segment.on.isoformat()}", heard.pieces, offered)


def _limits(terms: Terms, heard: Redeem, moment: Moment) -> Iterator[Draw]:
    for limit in terms.limits:
        if not _can_be_counted(limit, heard):
            continue
        name = f"{LIMIT}:{heard.reward}:{_plain(limit.limit)}:{_who(limit, heard)}:{_window(limit, heard, moment)}"
        yield Draw(name, heard.pieces, _times(limit, heard))


def is_blank(value: object) -> bool:
    """Say whether an attribute names nothing. A blank is no name: it would be one that many have in common."""
    return value is None or not str(value).strip()


def _can_be_counted(limit: Limit, heard: Redeem) -> bool:
    """Say whether a wish names what a limit counts by: one of the catalogue does not yet, any other has to."""
    named = [each for each in (limit.per, limit.each) if each is not None and each.startswith(_ATTRIBUTES)]
    return all(each.removeprefix(_ATTRIBUTES) in heard.attributes for each in named)


def _who(limit: Limit, heard: Redeem) -> str:
    """Name whom a limit counts by. A member without a person counts alone."""
    person = heard.stands.person if heard.stands is not None else None
    return f"person/{person}" if limit.of == "person" and person is not None else f"member/{heard.member}"


def _plain(text: str) -> str:
    """Return a text in which nothing looks like the next part of a name: ids may have colons, too."""
    return text.translate(_ESCAPED)


def _window(limit: Limit, heard: Redeem, moment: Moment) -> str:
    if limit.per.startswith(_ATTRIBUTES):
        return _plain(str(heard.attributes.get(limit.per.removeprefix(_ATTRIBUTES), "")))
    stands = heard.stands or Stands()
    finder = WindowFinder(zone_named(moment.program.zone), None)
    window = finder.of(limit.per, moment.at, enrolled_at=stands.enrolled_at)  # type: ignore[arg-type]
    return window.start.isoformat()


def _times(limit: Limit, heard: Redeem) -> int:
    tier = heard.stands.tier if heard.stands is not None else None
    times = limit.by_tier.get(tier or "", limit.times or 0)
    if limit.each is not None:
        each = heard.attributes.get(limit.each.removeprefix(_ATTRIBUTES), 0)
        times *= each if type(each) is int and each > 0 else 0
    return min(times, AMOUNT_MAX)


def _key(terms: Terms, heard: Redeem) -> Iterator[Draw]:
    value = heard.attributes.get(terms.key) if terms.key is not None else None
    if not is_blank(value):
        yield Draw(f"{KEY}:{terms.key}:{value}", 1, 1)


def drawn_upon(state: State, heard: Redeem, moment: Moment) -> tuple[set[TallyKey], set[ResourceKey]]:
    """Return what a request may draw from, which its reward says, and the resources that it needs to know."""
    key = RewardKey(heard.program, heard.reward)
    version = state.in_force(key, moment.at)
    if version is None:
        return set(), set()
    terms = state.terms[key, version]
    resources = {ResourceKey(heard.program, segment.resource) for segment in segments_of(terms, heard)}
    return {TallyKey(heard.program, draw.name) for draw in draws(terms, heard, moment, {})}, resources
