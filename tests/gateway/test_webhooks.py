"""Webhooks: signed, in order for each member, tried again, disabled with notice, and never in each other's way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from laurel.io.database import Database
from laurel.io.together import execute_together
from services.gateway.hearing import NewEvent
from services.gateway.settings import GatewaySettings
from services.gateway.store import deliveries, events
from services.gateway.store.deliveries import Attempted
from tests.gateway.keys import bearer, key
from tests.gateway.listening import key_of, report
from tests.gateway.news import risen
from tests.gateway.receiving import Delivery, Receiver
from tests.gateway.stage import PROGRAM, Instance, Others, gateway, until

pytestmark = pytest.mark.anyio

WEBHOOKS = "/v1/webhooks"


@pytest.fixture
def settings(settings: GatewaySettings) -> GatewaySettings:
    """Receivers on this machine, and pauses that a test can wait for."""
    return settings.model_copy(
        update={
            "outside_private_addresses": True,
            "outside_plain_http": True,
            "events_poll_seconds": 0.02,
            "webhook_retry_seconds": 0.05,
            "webhook_retry_seconds_max": 0.2,
            "webhook_attempts_max": 4,
            "webhook_lease_seconds": 1.0,
            "webhook_seconds": 1.0,
        }
    )


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().open() as receiver:
        yield receiver


async def made(http: httpx.AsyncClient, receiver: Receiver, *types: str, **headers: str) -> dict[str, Any]:
    body = {"url": receiver.url, "types": types or ["points.*"], "programs": [PROGRAM]}
    answer = await http.post(WEBHOOKS, json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    receiver.secrets = [shown["secret"]]
    return shown


async def shown(http: httpx.AsyncClient, webhook: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"{WEBHOOKS}/{webhook}")).json()
    return found


async def log_of(http: httpx.AsyncClient, webhook: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await http.get(f"{WEBHOOKS}/{webhook}/deliveries", params=query)).json()["data"]
    return found


async def happen(database: Database, *members: str, start: int = 0) -> list[str]:
    """Events straight into the table, as a projection would keep them."""
    at = datetime.now(UTC)
    names = [f"e-{start + number}" for number in range(len(members))]
    body = '{"specversion":"1.0","type":"points.awarded.v1","subject":"%s","data":{"activity":"%s"}}'
    batch = [
        NewEvent(PROGRAM, member, "points.awarded.v1", "operator", "s", 1, (body % (member, name)).encode())
        for member, name in zip(members, names, strict=True)
    ]
    async with database.transaction() as connection:
        await execute_together(connection, events.appending(batch, at))
    return names


async def test_an_event_is_told_signed_as_the_standard_says(
    here: Instance, projecting: Instance, member: str, receiver: Receiver
) -> None:
    http = here.http
    webhook = await made(http, receiver, "points.awarded", "member.*")
    await report(http, "a-1")
    await until(lambda: "a-1" in receiver.activities)
    told = receiver.told[-1]
    assert told.event["type"] == "points.awarded.v1"
    assert (told.event["subject"], told.activity) == (member, "a-1")
    assert told.headers["content-type"] == "application/cloudevents+json"
    assert Webhook(webhook["secret"]).verify(told.body, told.headers) == told.event
    with pytest.raises(WebhookVerificationError):
        Webhook(webhook["secret"]).verify(told.body + b" ", told.headers)
    log: list[dict[str, Any]] = []

    async def is_written() -> bool:
        log[:] = await log_of(http, webhook["id"])
        return bool(log) and log[0]["delivery"] == told.id

    await until(is_written)
    assert log[0].items() >= {
        "delivery": told.id, "state": "delivered", "attempts": 1, "status": 204, "member": member,
        "type": "points.awarded.v1",
    }.items()  # fmt: skip
    read = await shown(http, webhook["id"])
    assert (read["state"], read["failing_since"], "secret" in read) == ("enabled", None, False)
    assert read["delivered_at"] is not None


async def test_the_secret_before_signs_too_until_its_time_is_over(
    here: Instance, projecting: Instance, member: str, receiver: Receiver
) -> None:
    http = here.http
    before = await made(http, receiver)
    after = (await http.post(f"{WEBHOOKS}/{before['id']}/rotate")).json()
    assert after["secret"] != before["secret"]
    receiver.secrets = [before["secret"], after["secret"]]
    await report(http, "a-1")
    await until(lambda: receiver.told)
    last = (await http.post(f"{WEBHOOKS}/{before['id']}/rotate", json={"overlap_seconds": 0})).json()
    receiver.secrets = [last["secret"]]
    await asyncio.sleep(0.5)
    await report(http, "a-2")
    await until(lambda: len(receiver.told) == 2)
    for old in (before, after):
        with pytest.raises(WebhookVerificationError):
            Webhook(old["secret"]).verify(receiver.told[1].body, receiver.told[1].headers)


async def test_each_member_is_told_in_order_whatever_fails(
    here: Instance, projecting: Instance, receiver: Receiver, database: Database
) -> None:
    """Every third event fails twice. A member's next event waits, those of others do not."""
    await made(here.http, receiver)

    def answer(delivery: Delivery) -> int:
        tries = [each for each in receiver.tries if each.id == delivery.id]
        return 500 if int(delivery.activity.removeprefix("e-")) % 3 == 0 and len(tries) < 3 else 204

    receiver.answer = answer
    receiver.after_seconds = 0.005
    members = [f"m-{number % 7}" for number in range(140)]
    names = await happen(database, *members)
    await until(lambda: len(receiver.told) == len(names), 60)
    for member in set(members):
        own = [name for name, whose in zip(names, members, strict=True) if whose == member]
        assert [each.activity for each in receiver.told if each.member == member] == own
        tried = [each.activity for each in receiver.tries if each.member == member]
        assert list(dict.fromkeys(tried)) == own
        assert tried == sorted(tried, key=own.index)
    for name in names:
        assert len({each.id for each in receiver.tries if each.activity == name}) == 1
    assert 1 < receiver.at_once_max <= 16


async def test_an_event_that_is_never_taken_holds_up_nobody_else_and_is_given_up(
    here: Instance, projecting: Instance, receiver: Receiver, database: Database
) -> None:
    webhook = await made(here.http, receiver)
    receiver.answer = lambda each: 422 if each.activity == "e-0" else 204
    await happen(database, "m-1", "m-1", "m-2", "m-3")
    await until(lambda: {"e-2", "e-3"} <= set(receiver.activities))
    feeding = asyncio.create_task(_keep_happening(database))
    await until(lambda: "e-1" in receiver.activities, 30)
    feeding.cancel()

    async def is_written() -> bool:
        return bool(await log_of(here.http, webhook["id"], state="failed"))

    await until(is_written)
    log = {each["type"]: each for each in await log_of(here.http, webhook["id"], state="failed")}
    failed = log["points.awarded.v1"]
    assert (failed["attempts"], failed["status"], failed["error"]) == (4, 422, "answered 422")
    assert (await shown(here.http, webhook["id"]))["state"] == "enabled"
    # Somebody repairs the receiver, and has it sent again.
    receiver.answer = lambda _: 204
    again = await here.http.post(f"/v1/deliveries/{failed['delivery']}/redeliver")
    assert (again.status_code, again.json()["state"]) == (202, "waiting")
    await until(lambda: "e-0" in receiver.activities)
    assert len({each.id for each in receiver.tries if each.activity == "e-0"}) == 1


async def test_what_is_to_be_sent_again_while_its_last_attempt_is_on_its_way_is_sent_again(
    here: Instance, projecting: Instance, receiver: Receiver, database: Database
) -> None:
    """That attempt fails, and would have been the last one."""
    webhook = await made(here.http, receiver)
    repaired = False

    def answer(each: Delivery) -> int | None:
        if each.activity != "e-0" or repaired:
            return 204
        return 422 if len([one for one in receiver.tries if one.activity == "e-0"]) < 4 else None

    receiver.answer = answer
    await happen(database, "m-1")
    feeding = asyncio.create_task(_keep_happening(database))
    await until(lambda: len([one for one in receiver.tries if one.activity == "e-0"]) == 4, 30)
    again = await here.http.post(f"/v1/deliveries/{webhook['id']}-1/redeliver")
    assert (again.status_code, again.json()["attempts"]) == (202, 0)
    repaired = True
    await until(lambda: "e-0" in receiver.activities, 30)
    feeding.cancel()


async def test_a_wish_to_send_again_is_not_written_over(database: Database, here: Instance, receiver: Receiver) -> None:
    """Nor do those who write it and those who write what became of attempts wait for each other in a circle."""
    name = (await made(here.http, receiver))["id"]
    await happen(database, "m-1")
    now = datetime.now(UTC)
    tried = Attempted(1, PROGRAM, "m-1", "points.awarded.v1", "waiting", 3, now, 500, "answered 500", now, now)
    async with database.transaction() as connection:
        await deliveries.put(connection, name, [tried], heeding_wishes=False)
    async with database.transaction() as connection:
        await connection.execute("select from webhooks where webhook = $1 for update", name)
        asking = asyncio.create_task(here.http.post(f"/v1/deliveries/{name}-1/redeliver"))
        await until(lambda: connection.fetchval("select count(*) from pg_locks where not granted"))
        await deliveries.put(connection, name, [tried], heeding_wishes=False)
    assert (await asking).status_code == 202
    failed = tried._replace(state="failed", attempts=4)
    for heeding, state in ((True, "waiting"), (False, "failed")):
        async with database.transaction() as connection:
            await deliveries.put(connection, name, [failed], heeding_wishes=heeding)
            found = await deliveries.find(connection, name, 1)
        assert found is not None
        assert found.state == state


async def _keep_happening(database: Database) -> None:
    for number in range(10_000):
        await happen(database, f"x-{number}", start=1000 + number)
        await asyncio.sleep(0.02)


async def test_a_receiver_that_takes_nothing_is_disabled_and_says_so_and_goes_on_where_it_was(
    here: Instance, projecting: Instance, receiver: Receiver, database: Database
) -> None:
    http = here.http
    webhook = await made(http, receiver)
    receiver.answer = lambda _: 500
    names = await happen(database, *[f"m-{number % 5}" for number in range(60)])

    async def is_disabled() -> bool:
        return bool((await shown(http, webhook["id"]))["state"] == "disabled")

    await until(is_disabled, 30)
    read = await shown(http, webhook["id"])
    assert (read["reason"], read["last_error"]) == ("failing", "answered 500")
    assert read["failing_since"] is not None
    await until(lambda: "webhooks" in projecting.health.report()["details"])  # type: ignore[operator]
    tries = len(receiver.tries)
    later = await happen(database, "m-9", start=100)
    await asyncio.sleep(1.5)
    assert len(receiver.tries) == tries
    refused = await http.post(f"/v1/deliveries/{receiver.tries[0].id}/redeliver")
    assert (refused.status_code, refused.json()["code"]) == (409, "webhook_disabled")
    receiver.answer = lambda _: 204
    enabled = await http.post(f"{WEBHOOKS}/{webhook['id']}/enable")
    assert (enabled.json()["state"], enabled.json()["failing_since"]) == ("enabled", None)
    await until(lambda: len(receiver.told) == 61, 30)
    assert sorted(receiver.activities) == sorted(names + later)
    await until(lambda: "webhooks" not in projecting.health.report()["details"])  # type: ignore[operator]


async def test_a_receiver_that_is_gone_is_disabled_at_once(
    here: Instance, projecting: Instance, receiver: Receiver, database: Database
) -> None:
    webhook = await made(here.http, receiver)
    receiver.answer = lambda _: 410
    await happen(database, "m-1")

    async def reason() -> str | None:
        found: str | None = (await shown(here.http, webhook["id"]))["reason"]
        return found

    assert await until(reason) == "gone"
    assert len(receiver.tries) == 1


async def test_a_slow_receiver_delays_no_other(
    here: Instance, projecting: Instance, receiver: Receiver, database: Database
) -> None:
    async with Receiver().open() as slow:
        await made(here.http, slow)
        slow.answer = lambda _: None
        await made(here.http, receiver)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.5)
        began = loop.time()
        await happen(database, *[f"m-{number}" for number in range(200)])
        await until(lambda: len(receiver.told) == 200, 30)
        assert loop.time() - began < 10
        assert slow.told == []
        assert 0 < len(slow.tries) <= 16 * (1 + int(loop.time() - began) * 2)


@pytest.mark.parametrize(
    "answer",
    ["HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", "nonsense\r\n\r\n"],
)
async def test_redirects_and_nonsense_are_failures(
    here: Instance, projecting: Instance, receiver: Receiver, database: Database, answer: str
) -> None:
    webhook = await made(here.http, receiver)
    receiver.answer = lambda _: answer if len(receiver.tries) < 2 else 204
    await happen(database, "m-1")
    await until(lambda: receiver.told)
    log = await until(lambda: log_of(here.http, webhook["id"], state="delivered"))
    assert log[0]["attempts"] == 2


async def test_another_worker_takes_over_what_a_dead_one_told(
    settings: GatewaySettings, here: Instance, receiver: Receiver, database: Database
) -> None:
    """The first is cut off in the middle, as by a crash: nothing is lost, nothing overtaken."""
    webhook = await made(here.http, receiver)
    receiver.after_seconds = 0.02
    members = [f"m-{number % 11}" for number in range(330)]
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(gateway(settings, "worker"))
        names = await happen(database, *members)
        await until(lambda: len(receiver.told) > 50)
        assert first.work is not None
        for _, task in first.work.deliverer._endpoints.values():
            task.cancel()
        first.work.deliverer._endpoints.clear()
        await first.stop("webhooks")
        async with gateway(settings, "worker"):
            await until(lambda: len({each.id for each in receiver.told}) == len(names), 60)
    for member in set(members):
        own = [each.activity for each in receiver.told if each.member == member]
        assert list(dict.fromkeys(own)) == [name for name, whose in zip(names, members, strict=True) if whose == member]
    async with database.connection() as connection:
        told = await connection.fetchval(
            "select count(*) from deliveries where webhook = $1 and state = 'delivered'", webhook["id"]
        )
    assert told == len(names)


async def test_two_workers_tell_each_event_once(
    settings: GatewaySettings, here: Instance, receiver: Receiver, database: Database
) -> None:
    async with gateway(settings, "worker"), gateway(settings, "worker"):
        await made(here.http, receiver)
        names = await happen(database, *[f"m-{number % 20}" for number in range(300)])
        await until(lambda: len(receiver.told) >= len(names), 30)
        await asyncio.sleep(0.5)
    assert sorted(receiver.activities) == sorted(names)


async def test_who_was_slow_to_write_writes_nothing_once_another_holds_the_webhook(
    settings: GatewaySettings, here: Instance, receiver: Receiver, database: Database
) -> None:
    webhook = await made(here.http, receiver)
    async with gateway(settings, "worker") as one:
        await until(lambda: one.work is not None and one.work.deliverer._endpoints)
        async with database.connection() as connection:
            await connection.execute(
                "update webhooks set holder = 'another', held_until = now() + interval '1 hour' where webhook = $1",
                webhook["id"],
            )
        await happen(database, "m-1", "m-2")
        await asyncio.sleep(1)
        assert await log_of(here.http, webhook["id"]) == []
        assert one.work is not None
        assert one.work.deliverer._endpoints == {}


async def test_what_is_disabled_by_hand_waits_and_what_is_deleted_is_told_nothing_more(
    here: Instance, projecting: Instance, receiver: Receiver, database: Database
) -> None:
    http = here.http
    webhook = await made(http, receiver)
    disabled = (await http.post(f"{WEBHOOKS}/{webhook['id']}/disable")).json()
    assert (disabled["state"], disabled["reason"]) == ("disabled", "asked")
    await asyncio.sleep(0.5)
    await happen(database, "m-1")
    await asyncio.sleep(0.5)
    assert receiver.tries == []
    await http.post(f"{WEBHOOKS}/{webhook['id']}/enable")
    await until(lambda: receiver.activities == ["e-0"])
    assert (await http.delete(f"{WEBHOOKS}/{webhook['id']}")).status_code == 204
    assert (await http.get(f"{WEBHOOKS}/{webhook['id']}")).json()["code"] == "webhook_unknown"
    assert (await http.post(f"/v1/deliveries/{receiver.told[0].id}/redeliver")).status_code == 404
    await asyncio.sleep(0.5)
    await happen(database, "m-1", start=5)
    await asyncio.sleep(0.5)
    assert receiver.activities == ["e-0"]


async def test_deliveries_go_with_their_events(
    settings: GatewaySettings, here: Instance, projecting: Instance, receiver: Receiver, database: Database
) -> None:
    webhook = await made(here.http, receiver)
    await happen(database, "m-1", "m-2")
    await until(lambda: log_of(here.http, webhook["id"]))
    await until(lambda: len(receiver.told) == 2)
    delivery = receiver.told[0].id
    await until(lambda: _count_is(here.http, webhook["id"], 2))
    await events.drop(database, datetime.now(UTC) + timedelta(days=1), 10)
    gone = await here.http.post(f"/v1/deliveries/{delivery}/redeliver")
    assert (gone.status_code, gone.json()["code"]) == (410, "events_gone")
    short = settings.model_copy(update={"events_retention_hours": 0.0, "events_prune_seconds": 0.05})
    async with gateway(short, "worker"):
        await until(lambda: _count_is(here.http, webhook["id"], 0))


async def _count_is(http: httpx.AsyncClient, webhook: str, count: int) -> bool:
    return len(await log_of(http, webhook)) == count


async def test_who_lagged_behind_what_is_kept_is_told_the_rest_and_shows_it(
    settings: GatewaySettings, here: Instance, receiver: Receiver, database: Database
) -> None:
    webhook = await made(here.http, receiver)
    await happen(database, "m-1", "m-2", "m-3")
    assert await events.drop(database, datetime.now(UTC) + timedelta(days=1), 2) == 2
    async with gateway(settings, "worker"):
        await until(lambda: receiver.activities == ["e-2"])
        await until(lambda: _missed(here.http, webhook["id"]))


async def _missed(http: httpx.AsyncClient, webhook: str) -> bool:
    return (await shown(http, webhook))["missed_at"] is not None


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "ftp://example.com/"}, "/url"),
        ({"url": "http://user:secret@example.com/"}, "/url"),
        ({"types": ["points.nothing"]}, "/types/0"),
        ({"types": []}, "/types"),
        ({"programs": []}, "/programs"),
    ],
)
async def test_what_cannot_be_told_is_refused(here: Instance, changes: dict[str, Any], pointer: str) -> None:
    body = {"url": "https://example.com/", "types": ["points.*"], "programs": [PROGRAM], **changes}
    answer = await here.http.post(WEBHOOKS, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_private_addresses_are_refused_unless_they_are_allowed(
    settings: GatewaySettings, here: Instance, receiver: Receiver, database: Database
) -> None:
    """When it is made where that can be seen, and whenever it is told."""
    strict = settings.model_copy(update={"outside_private_addresses": False})
    webhook = await made(here.http, receiver)
    async with gateway(strict, "api") as other:
        body = {"url": receiver.url, "types": ["points.*"], "programs": [PROGRAM]}
        refused = await other.http.post(WEBHOOKS, json=body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/url")
    async with gateway(strict, "worker"):
        await happen(database, "m-1")
        log = await until(lambda: log_of(here.http, webhook["id"]))
        assert (log[0]["state"], log[0]["error"]) == ("waiting", "the address is not public")
    assert receiver.tries == []


async def test_a_partner_has_its_own_webhooks_and_hears_what_it_may_read(
    here: Instance, projecting: Instance, others: Others, member: str, receiver: Receiver
) -> None:
    acme = await key_of(here.http, "acme", "read", "earn")
    rival = await key_of(here.http, "rival", "read")
    earner = await key_of(here.http, "acme", "earn")
    operators = await made(here.http, receiver, "*")
    webhook = await made(here.http, receiver, "points.*", "member.*", authorization=acme)
    receiver.secrets = []
    path = f"{WEBHOOKS}/{webhook['id']}"
    for stranger in (rival, here.http.headers["authorization"]):
        headers = {"authorization": stranger}
        assert (await here.http.get(path, headers=headers)).json()["code"] == "webhook_unknown"
        assert (await here.http.delete(path, headers=headers)).status_code == 404
        assert (await here.http.post(f"{path}/rotate", headers=headers)).status_code == 404
        redelivery = f"/v1/deliveries/{webhook['id']}-1/redeliver"
        assert (await here.http.post(redelivery, headers=headers)).status_code == 404
    assert (await here.http.get(path, headers={"authorization": earner})).json()["code"] == "scope_missing"
    listed = (await here.http.get(WEBHOOKS, headers={"authorization": acme})).json()["data"]
    assert [each["id"] for each in listed] == [webhook["id"]]
    assert (await here.http.get(WEBHOOKS)).json()["data"][0]["id"] == operators["id"]
    body = {"url": receiver.url, "types": ["*"], "programs": ["elsewhere"]}
    hidden = await here.http.post(WEBHOOKS, json=body, headers={"authorization": acme})
    assert (hidden.status_code, hidden.json()["code"]) == (404, "program_unknown")
    await report(here.http, "a-1")
    async with httpx.AsyncClient(transport=here.http._transport, base_url="http://testserver") as till:
        till.headers["authorization"] = acme
        await report(till, "a-2")
    await until(lambda: len([each for each in receiver.told if each.activity == "a-2"]) == 2)
    # That the member joined may be told to both: it is projected at about the time at which they begin.
    of_acme = [each for each in receiver.told if each.id.startswith(f"{webhook['id']}-")]
    assert {each.activity for each in of_acme if "activity" in each.event["data"]} == {"a-2"}


async def test_a_partner_is_not_told_whose_request_moved_a_member(
    here: Instance, projecting: Instance, receiver: Receiver, database: Database
) -> None:
    """Neither at once nor from what waits in the log."""
    acme = await key_of(here.http, "acme", "read")
    webhook = await made(here.http, receiver, "tier.*", authorization=acme)
    receiver.answer = lambda _: 503
    async with database.transaction() as connection:
        batch = [risen("rival", "rival-7"), risen("rival", "rival-8")]
        await execute_together(connection, events.appending(batch, datetime.now(UTC)))
    await until(lambda: receiver.tries)
    path = f"{WEBHOOKS}/{webhook['id']}"
    await here.http.post(f"{path}/disable", headers={"authorization": acme})
    receiver.answer = lambda _: 204
    await here.http.post(f"{path}/enable", headers={"authorization": acme})
    await until(lambda: len(receiver.told) == 2)
    assert [each.event["data"]["cause"]["kind"] for each in receiver.told] == ["undisclosed", "undisclosed"]
    assert not [each for each in receiver.tries if "rival" in json.dumps(each.event)]


async def test_a_partner_has_only_so_many_webhooks(settings: GatewaySettings, here: Instance) -> None:
    body = {"url": "https://example.com/", "types": ["points.*"], "programs": [PROGRAM]}
    async with gateway(settings.model_copy(update={"webhooks_max": 1}), "api") as other:
        assert (await other.http.post(WEBHOOKS, json=body)).status_code == 201
        refused = await other.http.post(WEBHOOKS, json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "limit_reached")


async def test_who_changed_a_webhook_is_noted(here: Instance, receiver: Receiver) -> None:
    http = here.http
    webhook = await made(http, receiver)
    path = f"{WEBHOOKS}/{webhook['id']}"
    await http.post(f"{path}/rotate")
    for deed in ("disable", "disable", "enable"):
        await http.post(f"{path}/{deed}")
    await http.delete(path)
    rows = (await http.get("/v1/audit", params={"target": webhook["id"]})).json()["data"]
    assert [row["action"] for row in reversed(rows)] == [
        "webhook.made",
        "webhook.rotated",
        "webhook.disabled",
        "webhook.enabled",
        "webhook.deleted",
    ]


@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_a_webhook_ends_with_its_key_until_another_answers_for_it(
    here: Instance, projecting: Instance, member: str, receiver: Receiver, database: Database, how: str
) -> None:
    http = here.http
    ends = datetime.now(UTC) + timedelta(seconds=5)
    expiry = {"expires_at": ends.isoformat()} if how == "expired" else {}
    first = await key(http, scopes=["read", "admin"], **expiry)
    second = await key(http, scopes=["read", "admin"])
    name = (await made(http, receiver, **bearer(first)))["id"]
    await happen(database, "m-1")
    await until(lambda: receiver.activities == ["e-0"])
    if how == "revoked":
        assert (await http.delete(f"/v1/partners/acme/keys/{first['key']}")).status_code == 204

    async def is_disabled() -> bool:
        found = (await http.get(f"{WEBHOOKS}/{name}", headers=bearer(second))).json()
        return (found["state"], found["reason"]) == ("disabled", "key_ended")

    await until(is_disabled)
    # The worker looks each fifth of a second whether it still holds what it tells.
    await asyncio.sleep(0.5)
    await happen(database, "m-1", start=1)
    await asyncio.sleep(0.5)
    assert receiver.activities == ["e-0"]
    enabled = await http.post(f"{WEBHOOKS}/{name}/enable", headers=bearer(second))
    assert (enabled.json()["state"], enabled.json()["reason"]) == ("enabled", None)
    await until(lambda: receiver.activities == ["e-0", "e-1"])


async def test_another_key_answers_for_a_webhook_before_the_first_one_ends(
    here: Instance, projecting: Instance, member: str, receiver: Receiver, database: Database
) -> None:
    """Whoever changes keys enables with the new one while the old one is good, and misses nothing."""
    http = here.http
    first, second = await key(http, scopes=["read", "admin"]), await key(http, scopes=["read", "admin"])
    name = (await made(http, receiver, **bearer(first)))["id"]
    assert (await http.post(f"{WEBHOOKS}/{name}/enable", headers=bearer(second))).json()["state"] == "enabled"
    assert (await http.delete(f"/v1/partners/acme/keys/{first['key']}")).status_code == 204
    found = (await http.get(f"{WEBHOOKS}/{name}", headers=bearer(second))).json()
    assert (found["state"], found["reason"]) == ("enabled", None)
    await happen(database, "m-1")
    await until(lambda: receiver.activities == ["e-0"])


async def test_what_waits_is_tried_at_once_where_a_webhook_is_enabled_already(
    settings: GatewaySettings, here: Instance, member: str, receiver: Receiver, database: Database
) -> None:
    """Whoever has mended a receiver need not wait for hours, nor disable the webhook first."""
    patient = settings.model_copy(update={"webhook_retry_seconds": 3600, "webhook_retry_seconds_max": 3600})
    receiver.answer = lambda _: 500
    async with gateway(patient, "worker"):
        name = (await made(here.http, receiver))["id"]
        await happen(database, "m-1")

        async def waits() -> bool:
            return [each["attempts"] for each in await log_of(here.http, name, state="waiting")] == [1]

        await until(waits)
        receiver.answer = lambda _: 204
        assert (await here.http.post(f"{WEBHOOKS}/{name}/enable")).json()["state"] == "enabled"
        await until(lambda: receiver.activities == ["e-0"])
