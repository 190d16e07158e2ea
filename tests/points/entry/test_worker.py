"""Whole workers beside a real broker and database; the gateway is played by the stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from laurel.contracts.processing import CannotProcessError
from laurel.values import AMOUNT_MAX
from services.points.decoding import decode
from services.points.settings import PointsSettings
from services.points.testing import Note, note
from tests.points.stage import PROGRAM, Stage, Told, at_work, body
from tests.points.till import START, enrolment, purchase, report

pytestmark = pytest.mark.anyio


def bought(member: str, id_: str, amount: int = 1000, **fields: Any) -> Note:
    return report(PROGRAM, member, purchase(id_, amount, START, **fields), START)


async def test_basket_of_more_points_than_there_can_be_is_refused_and_stops_nobody(
    stage: Stage, settings: PointsSettings
) -> None:
    packs: list[dict[str, Any]] = [
        {"id": f"{n}", "sku": "pack-50", "quantity": 10**15, "amount": 0} for n in range(2000)
    ]
    async with at_work(settings):
        await stage.enrol("m-1", "m-2")
        full = [{**packs[0], "quantity": AMOUNT_MAX // 50}]
        await stage.tell(bought("m-1", "b-1", 0, lines=packs), bought("m-1", "b-2"))
        await stage.tell(bought("m-2", "b-3"), bought("m-2", "b-4", 0, lines=full))
        await stage.until(lambda: len(stage.of("points.awarded.v1")) == 2)
        await stage.until(lambda: len(stage.of("activity.refused.v1")) == 2)
    assert {(each.member, body(each)["code"]) for each in stage.of("activity.refused.v1")} == {
        ("m-1", "limit_reached"),
        ("m-2", "limit_reached"),
    }
    assert await stage.parked() == []
    assert await stage.findings() == []


def held(member: str, hold: str, amount: int = 5) -> Note:
    return note("hold.requested.v1", PROGRAM, member, at=START, hold=hold, unit="point", amount=amount)


def captured(member: str, hold: str) -> Note:
    return note("hold.capture_requested.v1", PROGRAM, member, at=START, hold=hold)


def swapped(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda good: good.replace(old, new)


AT = b'"at":"2024-03-01T12:00:00Z"'
NAIVE = b'"at":"2024-03-01T12:00:00"'
OCCURRED = b'"occurred_at":"2024-03-01T12:00:00+00:00"'


def basket(member: str) -> Note:
    return bought(member, f"b-{member}")


def joined(member: str) -> Note:
    return enrolment(PROGRAM, member)


def reserved(member: str) -> Note:
    return held(member, "h-1")


POISON: list[tuple[Callable[[str], Note], Callable[[bytes], bytes], str]] = [
    (basket, lambda _: b"{", "undecodable"),
    (basket, swapped(b'"id":"b-', b'"id":7,"was":"b-'), "undecodable"),
    (basket, swapped(b'"shop"', b'"sh\xff"'), "undecodable"),
    (basket, swapped(AT, NAIVE), "undecodable"),
    (basket, swapped(OCCURRED, OCCURRED.replace(b"+00:00", b"")), "undecodable"),
    (basket, swapped(b'"member":"p-', b'"member":"m-'), "undecodable"),
    (basket, swapped(b'"clubcard"', b'"nectar"'), "undecodable"),
    (joined, swapped(b"enrolled_" + AT[1:], b"enrolled_" + NAIVE[1:]), "undecodable"),
    (reserved, swapped(b":5", b":-5"), "undecodable"),
    (reserved, swapped(b":5", b":0"), "undecodable"),
    (lambda member: captured(member, "h-1"), lambda good: good, "impossible"),
    # A year after the last that a calendar knows.
    (basket, swapped(OCCURRED, OCCURRED.replace(b"2024", b"9999")), "undecidable"),
    (basket, swapped(b'"shop"', b'"sh\\u0000p"'), "refused_by_database"),
    (lambda member: note("activity.foretold.v1", PROGRAM, member, at=START), lambda good: good, "unknown_type"),
]


async def test_poison_parks_its_key_and_others_flow_on(stage: Stage, settings: PointsSettings) -> None:
    wanted: list[tuple[str, int, str]] = []
    story: list[Note | Told] = []
    for number, (make, spoil, reason) in enumerate(POISON):
        member = f"p-{number:02}"
        good = make(member)
        bad = Told(good.type, PROGRAM, member, spoil(good.body))
        assert bad.body != good.body or reason in {"unknown_type", "impossible"}
        story += [bought(f"m-{number}", f"b-{number}"), bad, bought(member, f"behind-{member}")]
        wanted += [(member, 2, reason), (member, 3, "behind")]
    fine = [f"m-{number}" for number in range(len(POISON))]
    async with at_work(settings):
        await stage.enrol(*fine, *[member for member, number, _ in wanted if number == 2])
        await stage.tell(*story)
        await stage.until(lambda: len(stage.of("points.awarded.v1")) == len(POISON))
        await stage.until(lambda: stage.auditor.fetchval("select count(*) = $1 from points.parked", len(wanted)))
    assert {each.member for each in stage.of("points.awarded.v1")} == set(fine)
    assert await stage.parked() == wanted
    assert await stage.findings() == []


async def test_many_poisoned_messages_of_a_batch_are_named_together(stage: Stage, settings: PointsSettings) -> None:
    members = [f"m-{n}" for n in range(50)]
    with pytest.raises(CannotProcessError) as raised:
        decode([Note("activity.reported.v1", PROGRAM, member, b"{") for member in members])
    # The whole batch is run again once, not once for each.
    assert [cast(Any, each.message).member for each in (raised.value, *raised.value.also)] == members
    await stage.tell(*[Told("activity.reported.v1", PROGRAM, member, b"{") for member in members])
    async with at_work(settings):
        await stage.until(lambda: stage.auditor.fetchval("select count(*) = 50 from points.parked"))
