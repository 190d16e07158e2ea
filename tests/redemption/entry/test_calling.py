"""Partners that fulfil, over real HTTP and a real database: asked once or often, fulfilled once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import pytest

from laurel.contracts.fulfilment import Fulfilment
from laurel.contracts.vouchers import VoucherTerms
from laurel.embedded.postgres import EmbeddedPostgres
from laurel.io import failpoints
from laurel.io.database import Database
from laurel.io.health import Health
from laurel.io.reaching_out import Outside
from services.redemption.domain.calling import CHANCES, FIRST_PAUSE_MS, PAUSE_MS_MAX, pause_before
from services.redemption.domain.heard import PartnerAnswered
from services.redemption.domain.state import RewardKey
from services.redemption.entry.allotting import Allotment, Places
from services.redemption.entry.calling import PartnerCaller
from services.redemption.ports import CodeGiven, CodesTaken
from services.redemption.store import calls
from services.redemption.store.pools import PostgresPools
from services.redemption.store.store import PostgresStore
from services.redemption.store.views import PostgresViews
from services.redemption.testing import (
    NOON,
    hold_refused,
    points_captured,
    points_held,
    points_released,
    points_restored,
    redemption_cancelled,
    redemption_requested,
    reward_published,
)
from tests.redemption.finding import findings
from tests.redemption.partner import Partner

pytestmark = pytest.mark.anyio


class Anywhere(NamedTuple):
    """What may be reached."""

    outside_private_addresses: bool = True
    outside_plain_http: bool = True


@pytest.fixture
async def partner(counter: Any) -> AsyncIterator[Partner]:
    async with Partner(counter.vault.partner_secret).open() as partner:
        yield partner


class Desk:
    """A redemption service whose clock a test moves, and its caller."""

    def __init__(
        self,
        counter: Any,
        *,
        settings: Any = Anywhere(),  # noqa: B008  (a frozen tuple)
        allotment: Allotment = Allotment(8, 1000),  # noqa: B008  (the same)
    ) -> None:
        self.counter = counter
        self.allotment = allotment
        self.ahead = timedelta()
        self.health = Health()
        self.outside = Outside(settings)
        self.caller = self._caller()

    def _caller(self) -> PartnerCaller:
        return PartnerCaller(
            self.counter.unit,
            self.counter.road,
            lambda connection: PostgresStore(connection, self.counter.vault),
            calls,
            self.outside,
            self.counter.vault.partner_secret,
            lambda _: True,
            self.health,
            interval_seconds=0.01,
            at_once=8,
            allotment=self.allotment,
            now=lambda: datetime.now(UTC) + self.ahead,
            stamped=lambda: datetime.now(UTC),
        )

    async def ask(self, *, seconds: float = 0) -> int:
        """Let time pass, by the caller's clock, and ask whoever is due."""
        self.ahead += timedelta(seconds=seconds)
        return await self.caller.run_once()


@pytest.fixture
async def desk(counter: Any) -> AsyncIterator[Desk]:
    desk = Desk(counter)
    yield desk
    await desk.outside.close()


async def begun(counter: Any, url: str, *redemptions: str, kind: str = "product", **more: Any) -> None:
    seconds = more.pop("timeout_seconds", 1)
    fulfilment = Fulfilment(url=url, timeout_seconds=seconds, deadline_seconds=more.pop("deadline_seconds", 3600))
    value: dict[str, Any] = {"value": None} if kind == "product" else {}
    stock = more.pop("stock", 20)
    await counter.hear(reward_published(stock=stock, kind=kind, fulfilment=fulfilment, **value))
    for name in redemptions or ("r-1",):
        await counter.hear(
            redemption_requested(f"m-{name}", name, **more), points_held(f"m-{name}", name, _price(more))
        )


def _price(more: dict[str, Any]) -> int:
    return 100 * int(more.get("quantity", 1))


async def row(auditor: asyncpg.Connection[Any]) -> tuple[Any, ...]:
    (found,) = await auditor.fetch("select state, hold, reference, delayed from sagas")
    return tuple(found)


async def verdicts(auditor: asyncpg.Connection[Any]) -> list[tuple[str, str]]:
    rows = await auditor.fetch("select asked, verdict from partner_answers order by attempt")
    return [tuple(each) for each in rows]


async def test_asked_and_fulfilled(desk: Desk, counter: Any, partner: Partner, auditor: Any) -> None:
    await begun(counter, partner.url)
    assert await row(auditor) == ("fulfilling", "held", "", False)
    assert await findings(auditor, across=False, at_rest=False) == []
    assert await desk.ask() == 1
    assert await row(auditor) == ("fulfilled", "capture_asked", "T-1", False)
    assert await auditor.fetchval("select count(*) from calls") == 0
    assert await desk.ask(seconds=3600) == 0
    assert await verdicts(auditor) == [("post", "fulfilled")]
    assert list(partner.asked.values()) == [1]
    await counter.hear(points_captured("m-r-1", "r-1", 100))
    assert await findings(auditor, across=False) == []


async def test_refused_by_the_partner(desk: Desk, counter: Any, partner: Partner, auditor: Any) -> None:
    partner.said = {"state": "refused", "code": "no_seats"}
    await begun(counter, partner.url)
    await desk.ask()
    assert (await row(auditor))[:2] == ("refused", "release_asked")
    await counter.hear(points_released("m-r-1", "r-1", 100))
    assert await findings(auditor, across=False) == []


async def test_codes_of_the_partner_are_its_own(
    desk: Desk, counter: Any, partner: Partner, auditor: Any, database: Database
) -> None:
    partner.said = {"state": "fulfilled", "codes": ["GATE-4711-AB", "GATE-4712-CD"]}
    await begun(counter, partner.url, kind="voucher", quantity=2)
    await desk.ask()
    rows = await auditor.fetch("select member, voucher, suffix, elsewhere, sealed from vouchers order by number")
    assert [(each["suffix"], each["elsewhere"]) for each in rows] == [
        ("12CD"[-4:] if n else "11AB", True) for n in (0, 1)
    ]
    key = await auditor.fetchval("select key from members where member = 'm-r-1'")
    first = rows[0]
    opened = counter.vault.open(key, "grocery", first["member"], first["voucher"], first["sealed"])
    assert opened == "GATE-4711-AB"
    async with database.reading() as connection:
        found = await PostgresViews(counter.vault).by_code(connection, "grocery", "GATE-4711-AB", None)
    assert found is not None, "it is found as it is written, as codes of a pool are"
    assert (found["voucher"], found["used_here"]) == (first["voucher"], False)
    everything = await auditor.fetch("select facts from saga_decisions")
    assert not any(b"4711" in each["facts"] for each in everything), "a code stands in no decision"
    await counter.hear(points_captured("m-r-1", "r-1", 200))
    assert await findings(auditor, across=False) == []


async def test_a_code_that_another_has_is_not_believed(
    desk: Desk, counter: Any, partner: Partner, auditor: Any
) -> None:
    """Two would have the same voucher; the partner is asked again until it says another one."""
    partner.said = {"state": "fulfilled", "codes": ["GATE-4711-AB"]}
    await begun(counter, partner.url, "r-1", kind="voucher")
    await desk.ask()
    await begun(counter, partner.url, "r-2", kind="voucher")
    await desk.ask()
    found = await auditor.fetch("select verdict from partner_answers order by redemption")
    assert [each["verdict"] for each in found] == ["fulfilled", "malformed"]
    assert await auditor.fetchval("select state from sagas where redemption = 'r-2'") == "fulfilling"
    partner.done = {key: {"state": "fulfilled", "codes": ["GATE-4712-CD"]} for key in partner.done}
    await desk.ask(seconds=10)
    assert await auditor.fetchval("select state from sagas where redemption = 'r-2'") == "fulfilled"
    assert await findings(auditor, across=False, at_rest=False) == []


async def test_of_answers_at_one_moment_with_one_code_one_is_believed(
    desk: Desk, counter: Any, partner: Partner, auditor: Any
) -> None:
    """What nobody has yet, two may be about to be given."""
    partner.said = {"state": "fulfilled", "codes": ["GATE-4711-AB"]}
    names = [f"r-{number}" for number in range(8)]
    await begun(counter, partner.url, *names, kind="voucher")
    assert await desk.ask() == 8
    assert sorted(verdict for _, verdict in await verdicts(auditor)) == ["fulfilled"] + ["malformed"] * 7
    assert await auditor.fetchval("select count(*) from vouchers") == 1
    partner.done = {key: {"state": "fulfilled", "codes": [f"GATE-{key}"]} for key in partner.done}
    await desk.ask(seconds=10)
    assert await auditor.fetchval("select count(*) from sagas where state = 'fulfilled'") == 8
    assert await auditor.fetchval("select count(distinct digest) from vouchers") == 8
    assert await findings(auditor, across=False, at_rest=False) == []


async def test_a_code_that_goes_into_a_pool_meanwhile_is_not_believed(
    desk: Desk, counter: Any, partner: Partner, auditor: Any, database: Database
) -> None:
    pooled = reward_published("tea", value=None, valid_days=None, stock=None, voucher=VoucherTerms(codes="pool"))
    await counter.hear(pooled)
    partner.said = {"state": "fulfilled", "codes": ["GATE-4711-AB"]}
    await begun(counter, partner.url, kind="voucher")
    pool = RewardKey("grocery", "tea")
    async with database.transaction() as connection:
        await PostgresPools(counter.vault).fill(connection, pool, [CodeGiven(1, "GATE-4711-AB", None)])
        asking = asyncio.create_task(desk.ask())
        await _waits_for_a_lock(asking, auditor)
    await asking
    assert await verdicts(auditor) == [("post", "malformed")]
    assert await findings(auditor, across=False, at_rest=False) == []


async def test_a_code_that_somebody_is_given_meanwhile_goes_into_no_pool(
    counter: Any, partner: Partner, auditor: Any, database: Database
) -> None:
    pooled = reward_published("tea", value=None, valid_days=None, stock=None, voucher=VoucherTerms(codes="pool"))
    await counter.hear(pooled)
    await begun(counter, partner.url, kind="voucher")
    answered = PartnerAnswered(
        program="grocery", member="m-r-1", redemption="r-1", at=NOON, fulfilled=True, reference="T-1", code="",
        codes=("GATE-4711-AB",),
    )  # fmt: skip

    async def fill() -> CodesTaken | None:
        given = [CodeGiven(1, "GATE-4711-AB", None), CodeGiven(2, "GATE-4712-CD", None)]
        async with database.transaction() as connection:
            return await PostgresPools(counter.vault).fill(connection, RewardKey("grocery", "tea"), given)

    async with counter.unit.begin() as work:
        await counter.road.run_due(PostgresStore(work.connection, counter.vault), [answered])
        filling = asyncio.create_task(fill())
        await _waits_for_a_lock(filling, auditor)
    taken = await filling
    assert taken is not None
    assert (taken.added, [(fault.line, fault.code) for fault in taken.faults]) == (1, [(1, "duplicate")])
    assert await findings(auditor, across=False, at_rest=False) == []


async def _waits_for_a_lock(task: asyncio.Task[Any], auditor: Any) -> None:
    """Come back when it waits for what another transaction has, or is done without."""
    while not (await asyncio.wait({task}, timeout=0.01))[0]:
        if await auditor.fetchval("select count(*) from pg_locks where not granted"):
            return


async def test_a_thousand_long_codes_are_one_answer(desk: Desk, counter: Any, partner: Partner, auditor: Any) -> None:
    partner.said = {"state": "fulfilled", "codes": [f"{number:064}" for number in range(1000)]}
    await begun(counter, partner.url, kind="voucher", quantity=1000, stock=1000, timeout_seconds=10)
    await desk.ask()
    assert await verdicts(auditor) == [("post", "fulfilled")]
    assert await auditor.fetchval("select count(*) from vouchers") == 1000


@pytest.mark.parametrize(
    ("mood", "verdict"),
    [
        ("breaks off", "unreachable"),
        ("silent", "unreachable"),
        ("garbage", "malformed"),
        ("unsigned", "wrongly_signed"),
        ("wrong secret", "wrongly_signed"),
        ("late", "wrongly_signed"),
        ("other id", "wrongly_signed"),
    ],
)
async def test_an_unknown_outcome_is_read_back(
    desk: Desk, counter: Any, partner: Partner, auditor: Any, mood: str, verdict: str
) -> None:
    partner.moods = [mood]
    await begun(counter, partner.url)
    await desk.ask()
    assert (await row(auditor))[:2] == ("fulfilling", "held"), "nothing is undone"
    assert await desk.ask() == 0, "not at once"
    assert await desk.ask(seconds=60) == 1
    assert await verdicts(auditor) == [("post", verdict), ("get", "fulfilled")]
    assert (await row(auditor))[0] == "fulfilled"
    assert list(partner.asked.values()) == [1], "it was asked to fulfil once"


@pytest.mark.parametrize("mood", ["broken", "deaf", "unheard"])
async def test_what_the_partner_never_got_is_asked_again(
    desk: Desk, counter: Any, partner: Partner, auditor: Any, mood: str
) -> None:
    partner.moods = [mood]
    await begun(counter, partner.url)
    for _ in range(3):
        await desk.ask(seconds=60)
    assert [asked for asked, _ in await verdicts(auditor)] == ["post", "get", "post"]
    assert (await verdicts(auditor))[1:] == [("get", "not_there"), ("post", "fulfilled")]
    assert len(partner.done) == 1


async def test_nobody_there_for_a_while(desk: Desk, counter: Any, partner: Partner, auditor: Any) -> None:
    await begun(counter, "http://127.0.0.1:9/orders", deadline_seconds=100)
    for _ in range(4):
        await desk.ask(seconds=50)
    assert await row(auditor) == ("fulfilling", "held", "", True)
    detail = desk.health.report()["details"]
    assert await desk.ask(seconds=0) == 0
    assert "silent for too long" in str(desk.health.report()["details"]), detail
    # The address moved: who is asked is what the newest terms say, at the price that was promised.
    fulfilment = Fulfilment(url=partner.url, timeout_seconds=1)
    await counter.hear(reward_published(stock=20, kind="product", value=None, price=900, fulfilment=fulfilment))
    for _ in range(3):
        await desk.ask(seconds=600)
    assert await row(auditor) == ("fulfilled", "capture_asked", "T-1", False)


async def test_whoever_dies_after_asking_reads_back(desk: Desk, counter: Any, partner: Partner, auditor: Any) -> None:
    await begun(counter, partner.url)
    with failpoints.armed(failpoints.AFTER_PARTNER), pytest.raises(failpoints.FailpointReached):
        await desk.ask()
    assert await verdicts(auditor) == []
    assert await desk.ask() == 0, "somebody may still be at it"
    assert await desk.ask(seconds=60) == 1
    assert await verdicts(auditor) == [("get", "fulfilled")]
    assert list(partner.asked.values()) == [1]


async def test_an_answer_in_hand_is_kept_when_the_database_is_back(
    desk: Desk, counter: Any, partner: Partner, auditor: Any, postgres: EmbeddedPostgres
) -> None:
    """Nobody waits until the call would fall due again."""
    name = await auditor.fetchval("select current_database()")
    admin = await asyncpg.connect(postgres.url("admin", "postgres"))
    back: list[asyncio.Task[None]] = []

    async def comes_back() -> None:
        await asyncio.sleep(0.3)
        await admin.execute(f"alter database {name} connection limit -1")

    async def goes_away() -> None:
        await admin.execute(f"alter database {name} connection limit 0")
        await admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1 and usename = $2",
            name,
            "laurel_redemption",
        )
        back.append(asyncio.create_task(comes_back()))

    await begun(counter, partner.url)
    try:
        with failpoints.armed(failpoints.AFTER_PARTNER, goes_away):
            assert await desk.ask() == 1
        await back[0]
    finally:
        await admin.close()
    assert await row(auditor) == ("fulfilled", "capture_asked", "T-1", False)
    assert await verdicts(auditor) == [("post", "fulfilled")]
    assert not partner.read_back


async def test_two_instances_ask_each_partner_once(desk: Desk, counter: Any, partner: Partner, auditor: Any) -> None:
    names = [f"r-{number}" for number in range(16)]
    await begun(counter, partner.url, *names)
    other = Desk(counter)
    try:
        while sum(await asyncio.gather(desk.ask(), other.ask())):
            pass
    finally:
        await other.outside.close()
    assert len(partner.done) == 16
    assert set(partner.asked.values()) == {1}
    assert await auditor.fetchval("select count(*) from sagas where state = 'fulfilled'") == 16
    assert await findings(auditor, across=False, at_rest=False) == []


async def test_settled_while_the_partner_is_asked(desk: Desk, counter: Any, partner: Partner, auditor: Any) -> None:
    partner.always = "pending"
    await begun(counter, partner.url, deadline_seconds=1)
    await desk.ask()
    await desk.ask(seconds=60)
    assert (await row(auditor))[3] is True
    await counter.hear(redemption_cancelled("m-r-1", "r-1", "provider", settles=True))
    assert (await row(auditor))[:2] == ("cancelled", "release_asked")
    await counter.hear(hold_refused("m-r-1", "r-1", 100))
    assert await findings(auditor, across=False) == []
    # It may have fulfilled all the same, so it is told.
    assert await desk.ask() == 1
    assert (await verdicts(auditor))[-1] == ("cancelled", "told")
    assert await auditor.fetchval("select count(*) from calls") == 0


async def test_private_addresses_are_not_asked(counter: Any, partner: Partner, auditor: Any) -> None:
    await begun(counter, partner.url)
    guarded = Desk(counter, settings=Anywhere(outside_private_addresses=False))
    await guarded.ask()
    await guarded.outside.close()
    assert await verdicts(auditor) == [("post", "address_refused")]
    assert not partner.asked


@pytest.mark.parametrize(
    "said",
    [
        {"state": "fulfilled", "codes": ["ABCD-1", "ABCD-1"]},
        {"state": "fulfilled", "codes": ["ABCD-1"]},
        {"state": "refused"},
        {"state": "who knows"},
        {"state": "fulfilled", "reference": "x" * 129},
        {"state": "fulfilled", "reference": "a\x00b"},
        [],
    ],
)
async def test_what_makes_no_sense_moves_nothing(
    desk: Desk, counter: Any, partner: Partner, auditor: Any, said: Any
) -> None:
    partner.said = {}
    await begun(counter, partner.url, kind="voucher", quantity=2)
    partner.done = _Says(said)
    await desk.ask()
    assert await verdicts(auditor) == [("post", "malformed")]
    assert (await row(auditor))[0] == "fulfilling"
    assert await findings(auditor, across=False, at_rest=False) == []


class _Says(dict[str, Any]):
    """Whatever was asked, this was done."""

    def __init__(self, said: Any) -> None:
        super().__init__()
        self._said = said

    def setdefault(self, key: str, default: Any = None) -> Any:
        del default
        return super().setdefault(key, self._said)


def test_pauses_grow_and_are_not_all_alike() -> None:
    pauses = [pause_before(attempt, CHANCES) for attempt in range(1, 30)]
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(milliseconds=FIRST_PAUSE_MS)
    assert pauses[-1] == timedelta(milliseconds=PAUSE_MS_MAX)
    assert pause_before(3, 0) < pause_before(3, CHANCES)


async def taken_back(desk: Desk, counter: Any, partner: Partner, *, by: str = "member") -> str:
    """Have something fulfilled by the partner and cancelled; returns its name there."""
    await begun(counter, partner.url)
    await desk.ask()
    await counter.hear(points_captured("m-r-1", "r-1", 100))
    await counter.hear(redemption_cancelled("m-r-1", "r-1", by))
    await counter.hear(points_restored("m-r-1", "r-1", 100, by=by))
    (name,) = partner.asked
    return name


async def test_a_partner_is_told_that_it_was_taken_back(
    desk: Desk, counter: Any, partner: Partner, auditor: Any
) -> None:
    name = await taken_back(desk, counter, partner, by="provider")
    assert await findings(auditor, across=False) == []
    assert await desk.ask() == 1
    told = partner.cancelled[name]
    assert (told["redemption"], told["member"], told["quantity"], told["by"]) == ("r-1", "m-r-1", 1, "provider")
    assert await desk.ask(seconds=3600) == 0, "it has said that it heard"
    assert await verdicts(auditor) == [("post", "fulfilled"), ("cancelled", "told")]
    assert await row(auditor) == ("cancelled", "cancelled", "T-1", False)
    assert await findings(auditor, across=False) == []


@pytest.mark.parametrize(
    ("mood", "verdict"), [("broken", "failed"), ("unsigned", "wrongly_signed"), ("late", "wrongly_signed")]
)
async def test_it_is_told_until_it_has_heard(
    desk: Desk, counter: Any, partner: Partner, auditor: Any, mood: str, verdict: str
) -> None:
    name = await taken_back(desk, counter, partner)
    partner.moods = [mood, mood]
    for _ in range(4):
        await desk.ask(seconds=60)
    assert [each for _, each in await verdicts(auditor)] == ["fulfilled", verdict, verdict, "told"]
    assert partner.told[name] == 3
    assert await auditor.fetchval("select count(*) from calls") == 0


async def test_a_partner_without_a_place_for_it_is_told_once(
    desk: Desk, counter: Any, partner: Partner, auditor: Any
) -> None:
    await taken_back(desk, counter, partner)
    partner.always = "no place"
    for _ in range(2):
        await desk.ask(seconds=60)
    assert await verdicts(auditor) == [("post", "fulfilled"), ("cancelled", "not_there")]


async def test_whoever_dies_after_telling_tells_again(desk: Desk, counter: Any, partner: Partner, auditor: Any) -> None:
    name = await taken_back(desk, counter, partner)
    with failpoints.armed(failpoints.AFTER_PARTNER), pytest.raises(failpoints.FailpointReached):
        await desk.ask()
    assert await desk.ask(seconds=60) == 1
    assert partner.told[name] == 2
    assert await auditor.fetchval("select count(*) from calls") == 0


async def test_fulfilled_after_somebody_took_it_back_is_told_too(
    desk: Desk, counter: Any, partner: Partner, auditor: Any
) -> None:
    partner.moods = ["breaks off"]
    await begun(counter, partner.url)
    await desk.ask()
    await counter.hear(redemption_cancelled("m-r-1", "r-1", "provider"))
    await desk.ask(seconds=60)
    assert (await row(auditor))[:2] == ("cancelled", "cancel_asked")
    await desk.ask()
    assert [each for _, each in await verdicts(auditor)] == ["unreachable", "fulfilled", "told"]


async def test_a_slow_partner_delays_nobody_else(counter: Any, partner: Partner, auditor: Any) -> None:
    """Twenty wait for one that says nothing; another's are asked at once, although theirs came first."""
    async with Partner(counter.vault.partner_secret).open() as quick:
        partner.always = "silent"
        await begun(counter, partner.url, *(f"s-{number}" for number in range(20)), timeout_seconds=30)
        fulfilment = Fulfilment(url=quick.url, timeout_seconds=1)
        await counter.hear(reward_published("fast", stock=20, kind="product", value=None, fulfilment=fulfilment))
        for name in (f"q-{number}" for number in range(6)):
            member = f"m-{name}"
            await counter.hear(redemption_requested(member, name, reward="fast"), points_held(member, name, 100))
        desk = Desk(counter, allotment=Allotment(3, 1000))
        running = asyncio.create_task(desk.caller.run())
        try:
            for _ in range(400):  # in less time than one answer of the slow one is waited for
                await asyncio.sleep(0.05)
                if await auditor.fetchval("select count(*) from sagas where state = 'fulfilled'") == 6:
                    break
            else:
                pytest.fail("they waited for another partner")
            assert sum(partner.asked.values()) == 3, "no more than its allotment is at the slow one"
            assert await auditor.fetchval("select count(*) from calls where attempts = 0") == 17
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_no_more_in_a_second_than_a_partner_takes(counter: Any, partner: Partner) -> None:
    await begun(counter, partner.url, *(f"r-{number}" for number in range(12)))
    desk = Desk(counter, allotment=Allotment(4, 0.001))
    assert [await desk.ask() for _ in range(3)] == [4, 0, 0]
    await desk.outside.close()


def test_what_a_place_may_have_comes_again_with_time() -> None:
    places = Places(Allotment(3, 2.0))
    assert places.allowed(0.0) == {}
    for _ in range(3):
        places.begin("a", 0.0)
    places.begin("b", 0.0)
    assert places.allowed(0.0) == {"a": 0, "b": 2}
    places.end("a")
    places.end("a")
    assert places.allowed(0.0) == {"a": 0, "b": 2}, "it has had all of this second"
    assert places.allowed(0.5) == {"a": 1, "b": 2}
    places.end("a")
    places.end("b")
    assert places.allowed(10.0) == {}, "what has its whole allotment again is forgotten"


async def test_who_is_told_of_what_stands_is_found(
    counter: Any, partner: Partner, database: Database, auditor: Any
) -> None:
    await begun(counter, partner.url)
    async with database.transaction() as connection:
        await connection.execute("update calls set by = 'member'")
    found = {each.proof for each in await findings(auditor, across=False, at_rest=False)}
    assert "a partner is told of what was taken back, and of nothing else" in found


@pytest.mark.parametrize("damage", ["delete from calls", "update calls set redemption = 'r-9'"])
async def test_a_lost_call_is_found(
    counter: Any, partner: Partner, database: Database, auditor: Any, damage: str
) -> None:
    await begun(counter, partner.url)
    async with database.transaction() as connection:
        await connection.execute(damage)
    proof = "a partner is to be asked for each redemption that it fulfils, and for no other"
    assert proof in {found.proof for found in await findings(auditor, across=False, at_rest=False)}
