"""The store against a real Postgres: what memory says, the tables say too, and the auditor agrees."""

from datetime import timedelta

import asyncpg
import msgspec
import pytest

from laurel.contracts.processing import CannotProcessError
from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program import dump_program
from services.points.road import Road
from services.points.store.ledger import Ledger
from services.points.testing import FixedPrograms
from services.points.verifying import _PROOF, _SETS, Finding, verify
from tests.points.stored import StoredTill, findings
from tests.points.till import START, document, enrolment, purchase, report

pytestmark = pytest.mark.anyio


@pytest.fixture
async def till(database: Database) -> StoredTill:
    found = StoredTill(document("clubcard"))
    found.database = database
    await found.enrol()
    return found


async def test_a_life_with_returns_holds_and_debts(till: StoredTill, database_urls: DatabaseUrls) -> None:
    packs = [{"id": "1", "sku": "pack-50", "quantity": 2, "amount": 800}, {"id": "2", "sku": "x", "amount": 3400}]
    await till.buy("b-1", 4200, lines=packs)
    await till.give_back("r-1", "b-1", lines=[{"id": "1", "quantity": 1}])
    assert (await till.totals()).available == 88
    await till.hold("h-1", 80)
    await till.capture("h-1")
    back = await till.give_back("r-2", "b-1", lines=[{"id": "1", "quantity": 1}])
    assert sum(one["owed"] for one in back["reversals"]) == 46
    await till.buy("b-2", 10000)
    totals = await till.totals()
    assert (totals.available, totals.owed, totals.spent) == (54, 0, 80)
    await till.hold("h-2", 54)
    await till.release("h-2")
    assert await findings(database_urls) == []


async def test_same_activity_in_another_transaction_is_answered_again(till: StoredTill) -> None:
    first = await till.buy("b-1", 1000)
    again = await till.buy("b-1", 1000)
    assert again["awards"] == first["awards"]
    assert again["balances"] == first["balances"]
    assert (await till.totals()).available == 10
    assert (await till.buy("b-1", 1100))["code"] == "idempotency_mismatch"


async def test_lots_expire_before_the_message_is_decided(database: Database, database_urls: DatabaseUrls) -> None:
    units = {"point": {"scale": 0, "validity": {"kind": "rolling", "days": 10}}}
    till = StoredTill(document("clubcard", units=units, clock="wall"))
    till.database = database
    await till.enrol()
    await till.buy("b-1", 1000)
    till.pass_time(days=11)
    said = await till.send(report("clubcard", "m-1", purchase("b-2", 500, till.at), till.at))
    assert [one["type"] for one in said] == ["points.expired.v1", "points.awarded.v1"]
    assert said[0]["balances"][0]["available"] == 0
    totals = await till.totals()
    assert (totals.available, totals.expired) == (5, 10)
    assert await findings(database_urls) == []


async def test_member_with_many_lots_spends_the_first_ones(database: Database, database_urls: DatabaseUrls) -> None:
    till = StoredTill(document("grocery"))
    till.database = database
    await till.enrol()
    batch = [report("grocery", "m-1", purchase(f"b-{n}", 100, START, currency="USD"), START) for n in range(200)]
    await till.send(*batch)
    held = await till.hold("h-1", 150)
    assert len(held[0]["lots"]) == 150
    assert held[0]["lots"][0]["lot"] == "2.1"
    await till.capture("h-1")
    assert (await till.totals()).available == 50
    assert await findings(database_urls) == []


async def test_two_members_interleaved_keep_their_own_numbers(till: StoredTill) -> None:
    await till.send(enrolment("clubcard", "m-2"))
    notes = [report("clubcard", f"m-{1 + n % 2}", purchase(f"b-{n}", 1000), START) for n in range(10)]
    said = await till.send(*notes)
    assert [one["version"] for one in said] == [2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


async def test_role_of_points_cannot_change_the_ledger(till: StoredTill, database: Database) -> None:
    await till.buy("b-1", 1000)
    for statement in (
        "update journals set kind = 'x'",
        "delete from entries",
        "truncate journals",
        "update entries_p0 set amount = 1",
        "delete from journals_p3",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with database.connection() as connection:
                await connection.execute(statement)


DAMAGES = [
    ("update points.balances set available = available + 1", "balances are the sums of the entries"),
    ("update points.lots set remaining = remaining - 1", "balances are what lots hold"),
    ("update points.entries set amount = amount + 1 where account = 'available'", "every journal sums to zero"),
    ("update points.wallets set version = version + 1", "journals are numbered without gap"),
    ("update points.balances set held = 1, available = available - 1", "what is held is what open holds hold"),
    ("delete from points.journals where journal = 2", "every kept activity has its journal"),
    ("update points.lots set expired = 3", "tables are folds of the journals"),
    (
        "insert into points.segments values ('clubcard', 'm-1', '{x}', '[]', '[1]')",
        "tables are folds of the journals",
    ),
    (
        "insert into points.person_counts values ('clubcard', 'p-1', 'limit/x/day', now(), 1)",
        "tables are folds of the journals",
    ),
    (
        "insert into points.measured (program, member, segment, measure) values ('clubcard', 'm-1', 'fruit', 1)",
        "what is measured waits for a judgement",
    ),
    (
        "insert into points.measured values ('clubcard other', 'person p-1', 'invited', 1)",
        "what is measured waits for a judgement",
    ),
    ("update points.holds set captured = 1", "tables are folds of the journals"),
    ("update points.holds set captured = 2, cancelled = 2", "of a hold no more is spent or given back"),
    ("update points.adjustments set written_off = 1", "tables are folds of the journals"),
    ("update points.wallets set status = 'closed'", "tables are folds of the journals"),
    ('update points.wallets set attributes = \'{"card": "gold"}\'', "tables are folds of the journals"),
    ("update points.wallets set next_due_at = null", "holds that end by themselves are due"),
    ("update points.wallets set converts_at = null", "who has points enough for a voucher is looked at"),
    (
        "update points.lots set pending = 1, awaits = 'date', available_at = '2020-01-01'",
        "pending points that await a date are due",
    ),
    (
        "update points.lots set pending = 1, awaits = 'event', expires_at = '2020-01-01'",
        "pending points that await something else are due at their end",
    ),
    ("insert into points.blocks values ('clubcard', 'shop', 'point', 1, 0, 0)", "blocks are what was paid for them"),
    ("update points.lots set remaining = granted + 1", "lots stay within their grant"),
    ("update points.lots set held = remaining + 1", "lots stay within their grant"),
    ("update points.balances set spent = spent + 1", "available + held - owed = earned"),
    ("update points.balances set owed = 10, earned = 0", "available + held - owed = earned"),
    ("update points.wallets set merged_into = null", "tables are folds of the journals"),
    ("update points.journals set kind = 'gift' where member = 'm-3'", "what left a wallet arrived in another"),
    ("update points.journals set kind = 'gift' where member = 'm-2'", "what left a wallet arrived in another"),
    ("update points.journals set kind = 'gift' where member = 'm-1'", "what left a wallet arrived in another"),
    ("update points.entries set amount = -amount where member = 'm-2'", "what passes from wallet to wallet sums to"),
]


@pytest.fixture(scope="module")
async def ledger_to_damage(module_urls: DatabaseUrls) -> DatabaseUrls:
    """A ledger with a purchase, a hold, adjustments, a gift and a merge, where every damage is rolled back."""
    database = await Database.connect(module_urls.points, schema="points", application="test")
    till = StoredTill(document("clubcard", transfers={"point": {}}))
    till.database = database
    await till.enrol()
    await till.buy("b-1", 1000)
    await till.timed("requested", "h-1", amount=3)
    await till.adjust("a-1", 5)
    await till.adjust("a-2", 5, limit=1)
    saver = await asyncpg.connect(module_urls.owner)
    await saver.execute(
        "insert into points.programs (program, version, document, effective_from, published_at) "
        "values ($1, 1, $2, now(), now())",
        till.program,
        msgspec.json.encode(dump_program(document("clubcard"))),
    )
    await saver.close()
    await till.send(enrolment(till.program, "m-4"), report(till.program, "m-4", purchase("b-4", 20000), START))
    await till.send(enrolment("clubcard", "m-2"))
    gift = {"transfer": "g-1", "to": "m-2", "amount": 2, "partner": "shop", "versions": {"program": 1}}
    await till.ask("transfer.requested.v1", unit="point", **gift)
    await till.send(enrolment("clubcard", "m-3"))
    till.member = "m-2"
    await till.ask("member.merge_requested.v1", merge="j-1", into="m-3", versions={"program": 1})
    await database.close()
    assert await findings(module_urls) == []
    return module_urls


@pytest.mark.parametrize(("damage", "proof"), DAMAGES)
async def test_auditor_finds_damage(ledger_to_damage: DatabaseUrls, damage: str, proof: str) -> None:
    owner = await asyncpg.connect(ledger_to_damage.owner)
    damaging = owner.transaction(isolation="repeatable_read")
    await damaging.start()
    assert not (await owner.execute(damage)).endswith(" 0")
    found = [each async for each in verify(owner) if isinstance(each, Finding)]
    await damaging.rollback()
    await owner.close()
    assert any(finding.proof.startswith(proof) for finding in found)


def test_every_proof_is_put_to_the_test() -> None:
    untried = [proof for proof in (*_SETS, _PROOF) if not any(proof.startswith(begin) for _, begin in DAMAGES)]
    assert untried == []


async def test_message_that_carries_an_unknown_version_is_named(database: Database) -> None:
    till = StoredTill(document("clubcard"))
    till.database = database
    till.road = Road(FixedPrograms(document("clubcard")))
    notes = [report("clubcard", f"m-{version}", purchase("b-1", 1000), START, version=version) for version in (7, 1, 8)]
    with pytest.raises(CannotProcessError, match="program_version_unknown: clubcard:7 has not come") as raised:
        await till.send(*notes)
    assert [each.detail for each in raised.value.also] == ["clubcard:8 has not come"]


async def test_next_expiry_follows_what_is_spent(database: Database) -> None:
    till = StoredTill(document("grocery"))
    till.database = database
    await till.enrol()
    for number in range(7):
        await till.buy(f"b-{number}", 4900, currency="USD")
        till.pass_time(hours=1)
    await till.hold("h-1", 250)
    captured = (await till.capture("h-1"))[0]
    assert captured["balances"][0]["next_expiry"] == {"amount": 93, "on": "2026-02-28"}
    till.pass_time(days=1)
    await till.buy("b-8", 1000, currency="USD")
    await till.hold("h-2", 93)
    captured = (await till.capture("h-2"))[0]
    assert captured["balances"][0]["next_expiry"] == {"amount": 10, "on": "2026-03-01"}


async def test_a_hold_that_times_out_leaves_the_next_one_due(till: StoredTill, database_urls: DatabaseUrls) -> None:
    """Members whom nobody touches are found when their first hold ends, then when their second does."""
    await till.buy("b-1", 2000)
    await till.timed("requested", "h-1", amount=3, ttl_seconds=60)
    await till.timed("requested", "h-2", amount=4, ttl_seconds=120)
    await till.timed("capture_requested", "h-2", amount=1)
    await till.timed("requested", "h-3", amount=5, ttl_seconds=180)
    for seconds, states in ((60, ["expired", "captured", "held"]), (180, ["expired", "captured", "expired"])):
        until = till.at + timedelta(seconds=seconds)
        async with till.database.transaction() as connection:
            ledger = Ledger(connection)
            due = await ledger.due([till.program], until, 10)
            assert due == [(till.program, till.member)]
            await till.road.run_due(ledger, due, until)
        async with till.database.connection() as connection:
            rows = await connection.fetch("select state from holds order by hold")
            assert [row["state"] for row in rows] == states
    async with till.database.transaction() as connection:
        assert await Ledger(connection).due([till.program], until + timedelta(days=1), 10) == []
    assert not await findings(database_urls)
