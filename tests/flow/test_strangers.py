"""Whoever holds the wrong key sees nothing and changes nothing: every route that the gateway describes is tried."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from tests.flow.stage import Door, Town, grocery, purchase, voucher

pytestmark = pytest.mark.anyio

PROGRAM: Final = "grocery"
ELSEWHERE: Final = "elsewhere"
PROGRAM_PATH: Final = f"programs/{PROGRAM}"
NOT_THERE: Final = 404
HIDDEN: Final = {403, 404}

SHARED: Final = {
    "program", "version", "member", "household", "reward", "resource", "code", "scheme", "value", "match", "merge",
    "unmerge",
}  # fmt: skip
"""What path parameters name that all partners of a program share. Whatever else one names belongs to somebody."""

BODIES: Final[dict[str, Any]] = {
    "claim": {"member": "m-1"},
    "cancel": {"by": "member", "reason": "a whim"},
    "keys": {"scopes": ["read"], "programs": [PROGRAM]},
    "blocks": {"unit": "point", "units": 1, "amount": 1, "currency": "USD", "reference": "a"},
    "figures": {"kind": "profit", "from": "2026-01-01", "until": "2026-01-31", "amount": 1, "currency": "USD"},
}
"""Bodies that are right by themselves, by the last word of the path, so that it is the key that is wrong."""


class World(NamedTuple):
    """What the first partner has: a value for each path parameter, and doors to it with keys of others."""

    things: dict[str, str]
    first: Door
    rival: Door
    neighbour: Door
    operations: list[tuple[str, str]]


@pytest.fixture(scope="module")
async def world(town: Town) -> World:
    operator = town.door()
    rate = {"unit": "point", "to": "sister", "into": "point", "rate": "1/3", "least": 30, "step": 10,
            "funding": {"funder": "sister", "price": "1", "currency": "USD"}}  # fmt: skip
    await operator.publish(grocery(PROGRAM, transfers={"point": {"least": 2, "most": 500}}, exchanges=[rate]))
    await operator.publish(grocery("sister"))
    await operator.publish(grocery(ELSEWHERE))
    scopes = ["earn", "redeem", "members", "read", "adjust"]
    first = await key(town, "acme", scopes, [PROGRAM, "sister"], {"adjust": 10_000})
    rival = await key(town, "rival", [*scopes, "admin"], [ELSEWHERE], {"adjust": 10_000})
    neighbour = await key(town, "neighbour", scopes, [PROGRAM, ELSEWHERE], {"adjust": 10_000})
    things = await furnish(operator, first)
    described = (await first.http.get("/openapi.json")).json()["paths"]
    operations = [(method.upper(), path) for path, methods in described.items() for method in methods]
    return World(things, first, rival, neighbour, operations)


async def key(town: Town, partner: str, scopes: list[str], programs: list[str], limits: dict[str, int]) -> Door:
    operator = town.door()
    await operator.call("PUT", f"partners/{partner}", {"name": partner}, 201)
    body = {"scopes": scopes, "programs": programs, "limits": limits}
    made = await operator.call("POST", f"partners/{partner}/keys", body, 201)
    return town.door(secret=made["secret"])


async def furnish(operator: Door, first: Door) -> dict[str, str]:
    """Make one of everything that a path can name."""
    card = {"scheme": "card", "value": "6340001"}
    body = {"member": "m-1", "identifiers": [card], "enrolled_at": "2026-01-01T00:00:00Z"}
    await first.call("POST", f"{PROGRAM_PATH}/members", body, 201)
    await first.enrol(PROGRAM, "m-2", "m-3", "m-4")
    await first.enrol("sister", "s-1")
    await first.report(PROGRAM, purchase("basket-1", "m-1", 100_000))
    await first.report(PROGRAM, purchase("nobodys", "m-1", 5_000) | {"id": "nobodys", "member": None})
    batch = (await first.send_batch(PROGRAM, [purchase("in-a-file", "m-2", 1_000)])).rpartition("/")[2]
    wallet = {"member": "m-1", "unit": "point"}
    hold = await keyed(first, "holds", {**wallet, "amount": 10, "reference": "sale"})
    adjustment = await keyed(first, "adjustments", {**wallet, "amount": 10, "reason": "goodwill", "note": "sorry"})
    transfer = await keyed(first, "transfers", {"from": "m-1", "to": "m-2", "unit": "point", "amount": 10})
    swap = {**wallet, "to": {"program": "sister", "member": "s-1"}, "amount": 30}
    exchange = await keyed(first, "exchanges", swap)
    await first.call("PUT", f"{PROGRAM_PATH}/households/home", {"members": ["m-1", "m-2"], "pooling": True}, 201)
    merge = await keyed(first, "members/m-3/merge", {"into": "m-4"})
    await operator.call("PUT", f"{PROGRAM_PATH}/rewards/five-off", voucher(100), 201)
    redeemed = await first.redeem(PROGRAM, "r-1", "m-1", "five-off")
    made = await operator.call("POST", "partners/acme/keys", {"scopes": ["read"], "programs": [PROGRAM]}, 201)
    return {
        "program": PROGRAM, "partner": "acme", "key": made["key"], "version": "1", "member": "m-1",
        "activity": "basket-1", "batch": batch, "hold": hold["hold"], "adjustment": adjustment["adjustment"],
        "transfer": transfer["transfer"], "exchange": exchange["exchange"], "household": "home",
        "merge": merge["merge"], "reward": "five-off", "redemption": redeemed["redemption"],
        "code": redeemed["vouchers"][0]["code"], "scheme": "card", "value": "6340001",
    }  # fmt: skip


async def keyed(door: Door, path: str, body: Any) -> Any:
    return await door.call("POST", f"{PROGRAM_PATH}/{path}", body, 201, idempotency_key=f'"{path}"')


async def trying(door: Door, method: str, path: str, things: dict[str, str]) -> httpx.Response:
    """Ask for something of the first partner's, in a way that would be right with the right key."""
    if "{merge}" in path:
        things = {**things, "member": "m-3"}
    filled = re.sub(r"{(\w+)}", lambda found: quote(things.get(found[1], f"some-{found[1]}"), safe=""), path)
    headers = {"idempotency-key": '"wrong"', "prefer": "wait=1"}
    if method in {"GET", "DELETE"}:
        return await door.http.request(method, filled, headers=headers)
    if path.endswith("/batches"):
        headers["content-type"] = "application/x-ndjson"
        return await door.http.post(filled, content=b"{}\n", headers=headers)
    body = BODIES.get(path.rpartition("/")[2], {})
    return await door.http.request(method, filled, json=body, headers=headers)


async def test_the_first_partner_itself_finds_its_things(world: World) -> None:
    """Else the walks below would find nothing for want of anything to find."""
    made = {"match", "unmerge", "payment", "resource"}
    reads = [(method, path) for method, path in world.operations if method == "GET" and "{program}" in path]
    unmade = [path for _, path in reads if any(f"{{{name}}}" in path for name in made)]
    seen = {path: (await trying(world.first, method, path, world.things)).status_code for method, path in reads}
    hidden = {path for path, status in seen.items() if status == NOT_THERE and path not in unmade}
    assert not hidden


async def test_a_key_of_another_program_finds_nothing_at_any_route(town: Town, world: World) -> None:
    """It has every scope, `admin` too: what it lacks is the program."""
    await town.prove()
    before = await town.digests()
    found: dict[str, str] = {}
    tried = 0
    for method, path in world.operations:
        if "{program}" not in path and "{partner}" not in path:
            continue
        answer = await trying(world.rival, method, path, world.things)
        tried += 1
        if answer.status_code != NOT_THERE:
            found[f"{method} {path}"] = f"{answer.status_code} {answer.text[:200]}"
    assert not found
    assert tried > 60
    assert await town.digests() == before


async def test_lists_that_name_no_program_show_nothing_of_others(world: World) -> None:
    secrets = [world.things[name] for name in ("key", "hold", "redemption", "batch", "code")]
    for method, path in world.operations:
        if method != "GET" or "{" in path:
            continue
        async with world.rival.http.stream(method, path, timeout=3) as answer:
            if "text/event-stream" not in answer.headers.get("content-type", ""):
                text = (await answer.aread()).decode()
                assert not [each for each in (*secrets, "acme") if each in text], path


async def test_another_partner_of_the_program_finds_nothing_that_is_somebodys(town: Town, world: World) -> None:
    """Members are everybody's in a program; what a partner did with them is its own."""
    await town.prove()
    before = await town.digests()
    found: dict[str, str] = {}
    tried = 0
    for method, path in world.operations:
        if set(re.findall(r"{(\w+)}", path)) <= SHARED:
            continue
        answer = await trying(world.neighbour, method, path, world.things)
        tried += 1
        if answer.status_code not in HIDDEN:
            found[f"{method} {path}"] = f"{answer.status_code} {answer.text[:200]}"
    assert not found
    assert tried > 20
    assert await town.digests() == before


async def test_no_body_of_the_own_program_reaches_into_another(town: Town, world: World) -> None:
    """Members, activities and partners of the first program mean nothing in the second."""
    rival = world.rival
    await rival.enrol(ELSEWHERE, "e-1")
    await rival.report(ELSEWHERE, purchase("e-basket", "e-1", 50_000))
    await town.prove()
    before = await town.digests()
    wallet = {"unit": "point", "amount": 10}
    own = f"programs/{ELSEWHERE}"
    bodies: list[tuple[str, Any]] = [
        ("activities", purchase("a-1", "m-1", 100)),
        ("activities", purchase("a-2", "e-1", 100, partner="acme")),
        ("activities", {"id": "a-3", "type": "return", "of": "basket-1", "occurred_at": "2026-03-01T00:00:00Z"}),
        ("activities/basket-1/claim", {"member": "e-1"}),
        ("quotes", purchase("a-4", "m-1", 100)),
        ("members/find", {"scheme": "card", "value": "6340001"}),
        ("holds", {**wallet, "member": "m-1", "reference": "x"}),
        ("holds", {**wallet, "member": "e-1", "reference": "x", "partner": "acme"}),
        ("adjustments", {**wallet, "member": "m-1", "reason": "goodwill", "note": "x"}),
        ("transfers", {**wallet, "from": "m-1", "to": "e-1"}),
        ("transfers", {**wallet, "from": "e-1", "to": "m-1"}),
        ("exchanges", {**wallet, "member": "e-1", "to": {"program": PROGRAM, "member": "m-1"}}),
        ("members/e-1/merge", {"into": "m-1"}),
        ("redemptions", {"member": "m-1", "reward": "five-off"}),
        ("redemptions", {"member": "e-1", "reward": "five-off", "partner": "acme"}),
        (f"vouchers/{world.things['code']}/redeem", {"reference": "x"}),
        (f"vouchers/{world.things['code']}/void", {}),
        ("copy", {"to": PROGRAM}),
    ]  # fmt: skip
    for number, (path, body) in enumerate(bodies):
        answer = await rival.ask("POST", f"{own}/{path}", body, idempotency_key=f'"reach-{number}"', prefer="wait=5")
        assert answer.status_code == NOT_THERE, f"{path} {body}: {answer.status_code} {answer.text}"
    for path in ("activities/basket-1?partner=acme", "partners/acme", "households/home", "rewards/five-off"):
        answer = await rival.ask("GET", f"{own}/{path}")
        assert answer.status_code == NOT_THERE, f"{path}: {answer.status_code} {answer.text}"
    await rival.call("PUT", f"{own}/households/home", {"members": ["m-1"], "pooling": True}, 404)
    await rival.call("POST", "partners/rival/keys", {"scopes": ["read"], "programs": [PROGRAM]}, 404)
    line = b'{"id": "l-1", "type": "purchase", "member": "m-1", "occurred_at": "2026-03-01T00:00:00Z", "amount": 1}\n'
    headers = {"content-type": "application/x-ndjson"}
    sent = await rival.http.post(f"/v1/{own}/batches", content=line, headers=headers)
    assert (sent.status_code, sent.json()["rejected"]) == (202, 1)
    after = await town.digests()
    moved = {name for name in after if after[name] != before[name]}
    assert moved <= {"gateway.batches", "gateway.batch_faults", "gateway.batch_outcomes", "gateway.requests"}, moved
