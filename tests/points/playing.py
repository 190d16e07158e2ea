"""The steps of a case, played on the road, and what must come of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laurel.calendars import local_date
from laurel.program.cases import Expected, StandsAs, Step
from laurel.program.rehearsing_vouchers import voucher_differences
from services.points.announcing_parts import last_good_day
from services.points.domain.facts import PointsConverted
from services.points.domain.state import Wallet
from services.points.domain.tiering import shown
from services.points.ports import WalletKey
from services.points.testing import Note, note
from tests.points.till import Till, enrolment, report


async def play(till: Till, step: Step, number: int) -> dict[str, Any]:
    if step.activity is not None:
        partner = step.activity.get("partner", "shop")
        if "payer" in step.activity:
            await till.send(enrolment(till.program, step.activity["payer"]["id"], till.at))
        if "member" in step.activity:
            said = await till.send(report(till.program, step.activity["member"], step.activity, till.at))
            # What a friend does is told of the member by what the member gets of it.
            mine = [one for one in said if one.get("share_of") and one["member"] == till.member]
            await let_time_pass(till, till.member)
            return mine[0] if mine else {"awards": [], "decision": [], "reversals": []}
        return await till.report(step.activity, partner=partner)
    if step.spend is not None:
        hold, own = f"spend-{number}", till.member
        till.member = step.spend.member or own
        held = await till.hold(hold, step.spend.amount, unit=step.spend.unit)
        if held[-1]["type"] == "points.held.v1":
            await till.capture(hold)
        till.member = own
        return held[-1]
    if step.match is not None:
        return (await till.match(f"match-{number}", step.match.tier, step.match.dated))[-1]
    together = asked_together(till, step, number)
    if together is not None:
        answers = await till.send(together)
        await let_time_pass(till, till.member)
        return answers[-1]
    # What is paid for by a voucher is redemption's matter; here only time passes.
    await till.run_due()
    return {}


async def let_time_pass(till: Till, member: str) -> None:
    await till.road.run_due(till.ledger, [WalletKey(till.program, member)], till.at)


def asked_together(till: Till, step: Step, number: int) -> Note | None:
    """Return what several members are moved by, if the step is that."""
    fields: dict[str, Any] = {
        "at": till.at,
        "versions": {"program": 1},
        "cause": {"kind": "request", "id": str(number)},
    }
    if step.transfer is not None:
        gift = step.transfer
        of_gift = {
            "transfer": f"t-{number}",
            "to": gift.to,
            "unit": gift.unit,
            "amount": gift.amount,
            "partner": "shop",
        }
        return note("transfer.requested.v1", till.program, gift.from_, **fields, **of_gift)
    if step.merge is not None:
        joined = {"merge": f"m-{number}", "into": step.merge.into}
        return note("member.merge_requested.v1", till.program, step.merge.member, **fields, **joined)
    if step.unmerge is not None:
        wallet = till.ledger.wallets[WalletKey(till.program, step.unmerge.member)]
        parted = {"merge": f"m-{number}", "into": wallet.merged_into or till.member}
        return note("member.unmerge_requested.v1", till.program, step.unmerge.member, **fields, **parted)
    if step.household is not None:
        members = sorted(step.household.members)
        before = [key.member for key, each in till.ledger.wallets.items() if each.household is not None]
        home = {"household": "h", "members": members, "leaving": sorted(set(before) - set(members))}
        asked = note("household.set_requested.v1", till.program, "", pooling=step.household.pooling, **fields, **home)
        return Note(asked.type, till.program, "", asked.body.replace(b'"member":""', b'"member":null'))
    return None


def check_balances(wallet: Wallet, units: Mapping[str, Any]) -> None:
    for unit, balance in units.items():
        totals = wallet.balance(unit)
        wanted = balance.model_dump(exclude_none=True)
        assert {name: getattr(totals, name) for name in wanted} == wanted


def check(till: Till, expected: Expected, said: dict[str, Any]) -> None:
    if expected.refused is not None and said:
        assert said["code"] == expected.refused
    if expected.vouchers is not None:
        # What becomes of a voucher is redemption's to say.
        made = [voucher.model_copy(update={"state": None}) for voucher in expected.vouchers]
        assert not list(voucher_differences([{**each, "state": None} for each in _vouchers(till)], made))
    _check_awards(till, expected, said)
    if expected.reasons is not None:
        reasons = {judged["rule"]: judged["reason"] for judged in said["decision"]}
        assert {rule: reasons[rule] for rule in expected.reasons} == expected.reasons
    if expected.reversals is not None:
        found = {back["rule"]: back for back in said.get("reversals", ())}
        assert found.keys() == expected.reversals.keys()
        for rule, reversal in expected.reversals.items():
            wanted = {key: value for key, value in reversal.model_dump().items() if value is not None}
            assert {key: found[rule][key] for key in wanted} == wanted
    if expected.balances is not None:
        check_balances(till.wallet, expected.balances)
    if expected.tier is not None:
        _check_tier(till, expected.tier)


def _vouchers(till: Till) -> list[dict[str, Any]]:
    zone = till.programs.zone(till.program)
    facts = [fact for journal in till.ledger.journals for fact in journal.facts]
    made = [fact for fact in facts if isinstance(fact, PointsConverted)]
    return [{"value": fact.value, "good_through": last_good_day(fact.expires_at, zone)} for fact in made
            if fact.expires_at is not None]  # fmt: skip


def _check_awards(till: Till, expected: Expected, said: dict[str, Any]) -> None:
    if expected.awards is not None:
        awards: dict[str, int] = {}
        for award in said["awards"]:
            if award["member"] != till.member:
                continue
            awards[award["rule"]] = awards.get(award["rule"], 0) + award["amount"]
        assert awards == expected.awards
    if expected.capped is not None:
        capped = {
            judged["rule"]: {cut["cap"]: cut["cut"] for cut in judged["capped_by"]}
            for judged in said["decision"]
            if judged["capped_by"]
        }
        assert capped == expected.capped


def _check_tier(till: Till, expected: StandsAs) -> None:
    program = till.programs.in_force(till.program, till.at, 1)
    assert program is not None
    found = shown(till.wallet, program, till.at)
    assert found is not None
    standing = found.standing
    seen: dict[str, Any] = {
        "name": standing.tier,
        "since": local_date(standing.since_at, program.zone),
        "until": None if standing.until_at is None else last_good_day(standing.until_at, program.zone),
        "years": found.years,
        "benefits": tuple(benefit.name for benefit in found.benefits),
        "counters": {each.counter: each.value for each in found.progress},
    }
    wanted = expected.model_dump(exclude_unset=True)
    counters = wanted.pop("counters", {})
    assert {name: seen[name] for name in wanted} == wanted
    assert {name: seen["counters"][name] for name in counters} == counters
