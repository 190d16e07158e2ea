"""Every route that writes, each with one request that is right: what must be there first, and what another body says.

A route of the OpenAPI document that is not here fails `test_repeats.py`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from laurel.program.reading import read_yaml
from tests.flow.stage import JOINED_AT, NOW, Door, grocery, purchase, until, voucher

SISTER: Final = "sister"
REPLAYED: Final = "replayed"
"""The same request again is the same request, and says so."""
SAME: Final = "same"
"""The same again finds everything as it should be."""
ANEW: Final = "anew"
"""Each request makes something of its own, such as a secret, which no repeat may show."""

_PROGRAMS: Final = Path(__file__).parents[2] / "programs"
FILE: Final = {"content-type": "application/x-ndjson"}
_DUE: Final = "2024-03-01T00:00:00+00:00"


@dataclass(frozen=True)
class Write:
    """One request. `again`: what the same once more comes to, or the code that tells what is there already."""

    method: str
    path: str
    body: Any = None
    other: Any = None
    """Another body under the same name, and `says` is the code that it is answered with."""
    says: str = "idempotency_mismatch"
    again: str = REPLAYED
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    another: bool = False
    """Whether the same name from another partner's key is a request of its own."""
    at_once: int = 3
    """How many may ask at once and all be told the same."""
    alike: bool = True
    """Whether the answer is the same to the letter, but for codes of vouchers, which no repeat shows."""

    async def ask(self, door: Door, body: Any = None, **headers: str) -> httpx.Response:
        named = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        said = {"content": self.content} if self.content is not None else {"json": body or self.body}
        return await door.http.request(self.method, f"/v1/{self.path}", headers=named, **said)


@dataclass(frozen=True)
class Place:
    """Where one request is made: a program of its own, the operator, and keys of a partner, the second with a limit."""

    program: str
    operator: Door
    partner: Door
    junior: Door

    @property
    def path(self) -> str:
        return f"programs/{self.program}"

    async def open(self, *members: str, **changes: Any) -> None:
        """Publish grocery, and let these members have a hundred points each."""
        rate = {"unit": "point", "to": SISTER, "into": "point", "rate": "1/3", "least": 30, "step": 10,
                "funding": {"funder": SISTER, "price": "1", "currency": "USD"}}  # fmt: skip
        given = {"transfers": {"point": {"least": 2, "most": 500}}, "exchanges": [rate], **changes}
        await self.operator.publish(grocery(self.program, **given))
        await self.partner.enrol(self.program, *members)
        for member in members:
            await self.partner.report(self.program, purchase(f"first-{member}", member, 10_000))

    async def keyed(self, path: str, body: Any, expect: int = 201, door: Door | None = None) -> Any:
        door = door or self.partner
        return await door.call("POST", f"{self.path}/{path}", body, expect, idempotency_key='"before"')

    async def reward(self, **more: Any) -> None:
        await self.operator.call("PUT", f"{self.path}/rewards/five-off", {**voucher(10), **more}, 201)


Maker = Callable[[Place], Awaitable[Write]]
WRITES: Final[dict[str, Maker]] = {}


def write(maker: Maker) -> Maker:
    WRITES[maker.__name__] = maker
    return maker


def shipped(program: str, name: str, **changes: Any) -> Any:
    """A shipped program under another name."""
    plain: Any = read_yaml((_PROGRAMS / f"{program}.yaml").read_text("utf-8"))
    return json.loads(json.dumps({**plain, "program": name, **changes}, default=str))


# Earning. ------------------------------------------------------------------------------------------------------------


@write
async def report_activity(at: Place) -> Write:
    await at.open("m-1")
    body = purchase("basket", "m-1", 1_000)
    return Write("POST", f"{at.path}/activities", body, other={**body, "amount": 900, "lines": []}, another=True)


@write
async def claim_activity(at: Place) -> Write:
    await at.open("m-1", "m-2")
    body = purchase("nobodys", "", 5_000)
    del body["member"]
    await at.partner.report(at.program, body)
    path = f"{at.path}/activities/nobodys/claim"
    return Write("POST", path, {"member": "m-1"}, other={"member": "m-2"}, says="already_credited")


async def _pending(at: Place) -> None:
    base = {"rule": "base", "on": ["purchase"], "unit": "point", "rate": {"points": 1, "per": 100},
            "funding": {"funder": "operator"}, "pending": {"approval": True}}  # fmt: skip
    await at.open("m-1", earning=[base])


@write
async def approve_pending(at: Place) -> Write:
    await _pending(at)
    return Write("POST", f"{at.path}/activities/first-m-1/approve", {})


@write
async def reject_pending(at: Place) -> Write:
    await _pending(at)
    return Write("POST", f"{at.path}/activities/first-m-1/reject", {})


@write
async def quote(at: Place) -> Write:
    await at.open("m-1")
    return Write("POST", f"{at.path}/quotes", purchase("basket", "m-1", 1_000), again=SAME)


@write
async def send_batch(at: Place) -> Write:
    await at.open("m-1", "m-2")
    lines = [purchase(f"line-{number}", f"m-{number % 2 + 1}", 1_000) for number in range(20)]
    content = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    return Write("POST", f"{at.path}/batches", content=content, headers=FILE, again=SAME, alike=False)


@write
async def resume_batch(at: Place) -> Write:
    await at.open("m-1")
    lines = [json.dumps(purchase(f"line-{number}", "m-1", 1_000)).encode() + b"\n" for number in range(20)]
    # What says of itself that it is packed, and is not, breaks off behind nothing.
    headers = {**FILE, "content-encoding": "gzip"}
    broken = await at.partner.http.post(f"/v1/{at.path}/batches", content=b"\x1f\x8b", headers=headers)
    assert broken.status_code == 400, broken.text
    path = broken.headers["location"].removeprefix("/v1/")
    headers = {**FILE, "upload-offset": broken.headers["upload-offset"]}
    return Write("PATCH", path, content=b"".join(lines), headers=headers, again="upload_complete", at_once=1)


# Members. ------------------------------------------------------------------------------------------------------------


@write
async def enrol_member(at: Place) -> Write:
    await at.open()
    # Neither an id nor an identifier: only its key tells a repeat from somebody else.
    body = {"enrolled_at": JOINED_AT}
    return Write("POST", f"{at.path}/members", body, other={**body, "person": "p-1"}, another=True)


async def _with_card(at: Place) -> None:
    await at.open("m-1")
    card = {"scheme": "card", "value": "6340001"}
    await at.partner.call("POST", f"{at.path}/members/m-1/identifiers", card, 201)


@write
async def find_member(at: Place) -> Write:
    await _with_card(at)
    return Write("POST", f"{at.path}/members/find", {"scheme": "card", "value": "6340001"}, again=SAME)


@write
async def add_identifier(at: Place) -> Write:
    await at.open("m-1")
    return Write("POST", f"{at.path}/members/m-1/identifiers", {"scheme": "card", "value": "6340001"}, again=SAME)


@write
async def block_identifier(at: Place) -> Write:
    await _with_card(at)
    return Write("DELETE", f"{at.path}/members/m-1/identifiers/card/6340001", again=SAME)


@write
async def change_member(at: Place) -> Write:
    await at.open("m-1")
    return Write("PATCH", f"{at.path}/members/m-1", {"person": "p-1"}, other={"person": "p-2"}, another=True)


@write
async def close_member(at: Place) -> Write:
    await at.open("m-1")
    return Write("POST", f"{at.path}/members/m-1/close", {})


@write
async def erase_member(at: Place) -> Write:
    await at.open("m-1")
    return Write("POST", f"{at.path}/members/m-1/erase", {})


@write
async def merge_member(at: Place) -> Write:
    await at.open("m-1", "m-2", "m-3")
    return Write("POST", f"{at.path}/members/m-1/merge", {"into": "m-2"}, other={"into": "m-3"}, another=True)


@write
async def unmerge_member(at: Place) -> Write:
    await at.open("m-1", "m-2")
    await at.keyed("members/m-1/merge", {"into": "m-2"})
    return Write("POST", f"{at.path}/members/m-1/unmerge", {}, another=True)


@write
async def put_household(at: Place) -> Write:
    await at.open("m-1", "m-2")
    return Write("PUT", f"{at.path}/households/home", {"members": ["m-1", "m-2"], "pooling": True})


@write
async def match_status(at: Place) -> Write:
    await at.operator.publish(shipped("mileageplus", at.program, clock="wall"))
    await at.partner.enrol(at.program, "m-1")
    dated = (NOW - timedelta(days=40)).date().isoformat()
    body = {"tier": "gold", "evidence": {"issuer": "rival", "dated": dated}}
    path = f"{at.path}/members/m-1/status-match"
    return Write("POST", path, body, other={**body, "tier": "silver"}, another=True)


# The wallet. ---------------------------------------------------------------------------------------------------------


@write
async def place_hold(at: Place) -> Write:
    await at.open("m-1")
    body = {"member": "m-1", "unit": "point", "amount": 10, "reference": "sale"}
    return Write("POST", f"{at.path}/holds", body, other={**body, "amount": 11}, another=True)


async def _held(at: Place) -> str:
    await at.open("m-1")
    held = await at.keyed("holds", {"member": "m-1", "unit": "point", "amount": 10, "reference": "sale"})
    return f"{at.path}/holds/{held['hold']}"


@write
async def capture_hold(at: Place) -> Write:
    return Write("POST", f"{await _held(at)}/capture", {}, other={"amount": 1}, says="hold_captured")


@write
async def release_hold(at: Place) -> Write:
    return Write("POST", f"{await _held(at)}/release", {})


@write
async def cancel_hold(at: Place) -> Write:
    hold = await _held(at)
    await at.partner.call("POST", f"{hold}/capture", {})
    body = {"by": "provider", "reason": "a slip", "amount": 4}
    return Write("POST", f"{hold}/cancel", body, other={**body, "amount": 5})


@write
async def adjust_points(at: Place) -> Write:
    await at.open("m-1")
    body = {"member": "m-1", "unit": "point", "amount": 10, "reason": "goodwill", "note": "sorry"}
    return Write("POST", f"{at.path}/adjustments", body, other={**body, "amount": 11}, another=True)


async def _waiting(at: Place) -> str:
    await at.open("m-1")
    body = {"member": "m-1", "unit": "point", "amount": 10, "reason": "goodwill", "note": "sorry"}
    waits = await at.keyed("adjustments", body, 409, at.junior)
    return f"{at.path}/adjustments/{waits['adjustment']}"


@write
async def approve_adjustment(at: Place) -> Write:
    return Write("POST", f"{await _waiting(at)}/approve", {})


@write
async def reject_adjustment(at: Place) -> Write:
    return Write("POST", f"{await _waiting(at)}/reject", {})


@write
async def transfer_points(at: Place) -> Write:
    await at.open("m-1", "m-2")
    body = {"from": "m-1", "to": "m-2", "unit": "point", "amount": 10}
    return Write("POST", f"{at.path}/transfers", body, other={**body, "amount": 11}, another=True)


@write
async def exchange_points(at: Place) -> Write:
    await at.open("m-1")
    there = f"{at.program}-there"
    await at.partner.enrol(SISTER, there)
    body = {"member": "m-1", "to": {"program": SISTER, "member": there}, "unit": "point", "amount": 30}
    return Write("POST", f"{at.path}/exchanges", body, other={**body, "amount": 40}, another=True)


# Redeeming. ----------------------------------------------------------------------------------------------------------


@write
async def put_reward(at: Place) -> Write:
    await at.open()
    return Write("PUT", f"{at.path}/rewards/five-off", voucher(10))


@write
async def redeem(at: Place) -> Write:
    await at.open("m-1", "m-2")
    await at.reward()
    body = {"member": "m-1", "reward": "five-off"}
    return Write("POST", f"{at.path}/redemptions", body, other={**body, "member": "m-2"}, another=True)


@write
async def quote_redemption(at: Place) -> Write:
    await at.open("m-1")
    await at.reward()
    return Write("POST", f"{at.path}/redemptions/quote", {"member": "m-1", "reward": "five-off"}, again=SAME)


async def _redeemed(at: Place, **more: Any) -> Any:
    await at.open("m-1")
    await at.reward()
    return await at.keyed("redemptions", {"member": "m-1", "reward": "five-off", **more})


@write
async def confirm_redemption(at: Place) -> Write:
    held = await _redeemed(at, confirm="later")
    return Write("POST", f"{at.path}/redemptions/{held['redemption']}/confirm", {})


@write
async def cancel_redemption(at: Place) -> Write:
    made = await _redeemed(at)
    body = {"by": "member", "reason": "a whim"}
    path = f"{at.path}/redemptions/{made['redemption']}/cancel"
    return Write("POST", path, body, other={**body, "by": "provider"})


@write
async def put_resource(at: Place) -> Write:
    await at.open()
    return Write("PUT", f"{at.path}/resources/hall", {"capacity": 9})


@write
async def give_codes(at: Place) -> Write:
    await at.open()
    film = {"name": "A film", "kind": "voucher", "unit": "point", "price": 10, "voucher": {"codes": "pool"}}
    await at.operator.call("PUT", f"{at.path}/rewards/film", film, 201)
    content = b'{"code": "FILM-1", "expires_at": "2040-01-01T00:00:00Z"}\n'
    return Write("POST", f"{at.path}/rewards/film/codes", content=content, headers=FILE, again=SAME, alike=False)


async def _voucher(at: Place) -> str:
    made = await _redeemed(at)
    return f"{at.path}/vouchers/{made['vouchers'][0]['code']}"


@write
async def redeem_voucher(at: Place) -> Write:
    body = {"reference": "till-1"}
    other = {**body, "basket": {"amount": 9_000, "currency": "USD"}}
    return Write("POST", f"{await _voucher(at)}/redeem", body, other=other, another=True)


@write
async def void_voucher(at: Place) -> Write:
    path = await _voucher(at)
    await at.partner.call("POST", f"{path}/redeem", {"reference": "till-1"})
    return Write("POST", f"{path}/void", {"reference": "till-1"})


# Programs, partners, keys. -------------------------------------------------------------------------------------------


@write
async def put_program(at: Place) -> Write:
    return Write("PUT", at.path, grocery(at.program), again=SAME)


@write
async def validate_program(at: Place) -> Write:
    return Write("POST", f"{at.path}/validate", grocery(at.program), again=SAME)


@write
async def copy_program(at: Place) -> Write:
    await at.open()
    return Write("POST", f"{at.path}/copy", {"to": f"{at.program}-copy"}, again="program_exists")


@write
async def turn_clock(at: Place) -> Write:
    base = {"rule": "base", "on": ["purchase"], "unit": "point", "rate": {"points": 1, "per": 100},
            "funding": {"funder": "operator"}, "pending": {"days": 14}}  # fmt: skip
    await at.operator.publish(grocery(at.program, clock="manual", earning=[base]))
    joined = {"member": "m-1", "enrolled_at": "2024-01-01T00:00:00+00:00"}
    await at.partner.call("POST", f"{at.path}/members", joined, 201)
    bought = {**purchase("first", "m-1", 1_000), "occurred_at": "2024-02-01T00:00:00+00:00"}
    await at.partner.report(at.program, bought)
    other = {"as_of": "2024-02-20T00:00:00+00:00"}
    return Write("POST", f"{at.path}/clock", {"as_of": _DUE}, other=other, says="clock_behind")


@write
async def put_partner(at: Place) -> Write:
    return Write("PUT", f"partners/{at.program}", {"name": "Somebody"}, again=SAME)


async def _key(at: Place) -> str:
    """Return where a key is that may do little."""
    body = {"scopes": ["read"], "programs": [SISTER]}
    made = await at.operator.call("POST", "partners/operator/keys", body, 201)
    return f"partners/operator/keys/{made['key']}"


@write
async def create_key(at: Place) -> Write:
    await at.open()
    body = {"scopes": ["read"], "programs": [at.program]}
    return Write("POST", "partners/operator/keys", body, again=ANEW, at_once=1)


@write
async def rotate_key(at: Place) -> Write:
    return Write("POST", f"{await _key(at)}/rotate", {}, again=ANEW, at_once=1)


@write
async def revoke_key(at: Place) -> Write:
    return Write("DELETE", await _key(at), again=SAME)


async def _coalition(at: Place) -> str:
    """Let a partner in that pays in advance, and report one activity more than it has paid for."""
    shop = "shop"
    await at.operator.publish(shipped("coalition", at.program))
    await at.operator.ask("PUT", f"partners/{shop}", {"name": "Shop"})
    joined = {"member": "m-1", "enrolled_at": "2024-01-01T00:00:00+00:00"}
    await at.partner.call("POST", f"{at.path}/members", joined, 201)
    await at.operator.call("POST", f"{at.path}/clock", {"as_of": "2024-05-11T12:00:00-05:00"})
    return shop


@write
async def put_partnership(at: Place) -> Write:
    shop = await _coalition(at)
    body = {"state": "approved", "billing": "prepaid"}
    return Write("PUT", f"{at.path}/partners/{shop}", body, again=SAME)


@write
async def top_up_block(at: Place) -> Write:
    shop = await _coalition(at)
    path = f"{at.path}/partners/{shop}"
    await at.operator.call("PUT", path, {"state": "approved", "billing": "prepaid"}, 201)
    bought = {**purchase("waits", "m-1", 9_900), "occurred_at": "2024-05-10T12:00:00-05:00", "partner": shop}
    await at.operator.report(at.program, bought, 202)
    body = {"unit": "mile", "units": 1_000, "amount": 2_000, "currency": "USD", "reference": "INV 1"}
    return Write("POST", f"{path}/blocks", body, other={**body, "units": 1})


# Webhooks. -----------------------------------------------------------------------------------------------------------


async def _webhook(at: Place) -> str:
    await at.open()
    body = {"url": "http://127.0.0.1:9/", "types": ["member.*"], "programs": [at.program]}
    made = await at.partner.call("POST", "webhooks", body, 201)
    return f"webhooks/{made['id']}"


@write
async def create_webhook(at: Place) -> Write:
    await at.open()
    body = {"url": "http://127.0.0.1:9/", "types": ["tier.*"], "programs": [at.program]}
    return Write("POST", "webhooks", body, again=ANEW, at_once=1)


@write
async def delete_webhook(at: Place) -> Write:
    return Write("DELETE", await _webhook(at), again="webhook_unknown")


@write
async def rotate_secret(at: Place) -> Write:
    return Write("POST", f"{await _webhook(at)}/rotate", {}, again=ANEW, at_once=1)


@write
async def disable_webhook(at: Place) -> Write:
    return Write("POST", f"{await _webhook(at)}/disable", {}, again=SAME)


@write
async def enable_webhook(at: Place) -> Write:
    return Write("POST", f"{await _webhook(at)}/enable", {}, again=SAME, alike=False)


@write
async def redeliver(at: Place) -> Write:
    path = await _webhook(at)
    await at.partner.enrol(at.program, "m-1")

    async def told() -> Any:
        return (await at.partner.call("GET", f"{path}/deliveries"))["data"]

    delivery = (await until(told, "something to be told"))[0]["delivery"]
    return Write("POST", f"deliveries/{delivery}/redeliver", {}, again=SAME, alike=False)
