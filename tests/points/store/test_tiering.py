"""Tiers against a real Postgres: the examples of the programs with tiers, and the auditor's fold after each."""

import asyncpg
import pytest

from laurel.io.database import Database
from laurel.io.migrating import DatabaseUrls
from laurel.program.cases import Case, Step, instant_of, load_cases
from services.points.domain.state import Wallet
from services.points.ports import Needs, WalletKey
from services.points.store.ledger import Ledger
from tests.points.playing import check, play
from tests.points.stored import StoredTill, findings
from tests.points.till import document, enrolment
from tests.program.played import SHIPPED as PROGRAMS

pytestmark = pytest.mark.anyio

NAMES = ("mileageplus", "bank-classes", "hanting", "revenue-flyer")


class TieredTill(StoredTill):
    """A till that reads the wallet back from the tables, so that memory cannot hide what was not written."""

    read: Wallet | None = None

    async def look(self) -> None:
        key = WalletKey(self.program, self.member)
        needs = Needs(wallets={key}, tiers={key: 800}, counting={key: self.at.date()})
        async with self.database.transaction() as connection:
            self.read = (await Ledger(connection).load(needs)).wallets[key]

    @property
    def wallet(self) -> Wallet:
        assert self.read is not None
        return self.read


async def test_examples_hold_in_the_tables(database: Database, database_urls: DatabaseUrls) -> None:
    for name in NAMES:
        for number, case in enumerate(load_cases((PROGRAMS / f"{name}.cases.yaml").read_text()).cases):
            await _rehearse(database, name, f"m-{number}", case)
    assert await findings(database_urls) == []


async def _rehearse(database: Database, name: str, member: str, case: Case) -> None:
    till = TieredTill(document(name, clock="wall"), member)
    till.database = database
    till.at = case.member.enrolled_at or instant_of(case.steps[0])
    await till.enrol(attributes=dict(case.member.attributes))
    for friend in case.friends:
        await till.send(enrolment(name, f"{member}-{friend}", till.at, referred_by=member))
    for number, step in enumerate(case.steps):
        till.at = max(till.at, instant_of(step))
        said = await play(till, _own(step, member), number)
        await till.look()
        check(till, step.expect, said)


def _own(step: Step, member: str) -> Step:
    """An activity's id belongs to one member only, and so does a friend."""
    if step.activity is None:
        return step
    named: dict[str, str] = {
        name: f"{member}-{step.activity[name]}" for name in ("of", "member", "referrer") if name in step.activity
    }
    activity = {**step.activity, "id": f"{member}-{step.activity['id']}", **named}
    return step.model_copy(update={"activity": activity})


@pytest.mark.parametrize(
    "damage",
    [
        "update points.tiers set journal = journal + 1",
        "delete from points.tiers",
        "update points.tier_counts set amount = amount + 1",
        "delete from points.tier_counts",
    ],
)
async def test_auditor_finds_damage(database: Database, database_urls: DatabaseUrls, damage: str) -> None:
    case = load_cases((PROGRAMS / "mileageplus.cases.yaml").read_text()).cases[0]
    await _rehearse(database, "mileageplus", "m-1", case)
    assert await findings(database_urls) == []
    owner = await asyncpg.connect(database_urls.owner)
    await owner.execute(damage)
    await owner.close()
    found = await findings(database_urls)
    assert {finding.proof for finding in found} == {"tables are folds of the journals"}


async def test_a_program_without_tiers_asks_nothing_of_these_tables(till_of_grocery: StoredTill) -> None:
    await till_of_grocery.buy("b-1", 1000, currency="USD")
    async with till_of_grocery.database.connection() as connection:
        assert await connection.fetchval("select count(*) from tiers") == 0
        assert await connection.fetchval("select count(*) from tier_counts") == 0


@pytest.fixture
async def till_of_grocery(database: Database) -> StoredTill:
    found = StoredTill(document("grocery"))
    found.database = database
    await found.enrol()
    return found
