import re
from pathlib import Path

import pytest

from laurel.errors import PROBLEMS, Fault, LaurelError, Problem, ProblemKind, Refused

STATUSES = {
    "malformed": 400,
    "idempotency_key_missing": 400,
    "unauthenticated": 401,
    "scope_missing": 403,
    "reward_unknown": 404,
    "voucher_unknown": 404,
    "member_unknown": 404,
    "activity_unknown": 404,
    "in_progress": 409,
    "effective_in_past": 409,
    "program_exists": 409,
    "clock_behind": 409,
    "member_exists": 409,
    "identifier_taken": 409,
    "identifier_blocked": 409,
    "match_limit": 409,
    "proof_expired": 409,
    "already_credited": 409,
    "claim_too_late": 409,
    "program_closed": 409,
    "over_returned": 409,
    "needs_approval": 409,
    "hold_released": 409,
    "hold_expired": 409,
    "hold_captured": 409,
    "insufficient_points": 409,
    "sold_out": 409,
    "blacked_out": 409,
    "not_eligible": 409,
    "limit_reached": 409,
    "below_minimum": 409,
    "key_used": 409,
    "voucher_spent": 409,
    "voucher_expired": 409,
    "voucher_void": 409,
    "voucher_exceeds_basket": 409,
    "member_not_active": 409,
    "partner_not_active": 409,
    "currency_not_accepted": 409,
    "events_gone": 410,
    "too_large": 413,
    "unsupported": 415,
    "invalid": 422,
    "idempotency_mismatch": 422,
    "lines_do_not_sum": 422,
    "tenders_exceed_amount": 422,
    "in_the_future": 422,
    "rate_limited": 429,
    "overloaded": 503,
    "clock_running": 503,
}
NOT_KEPT = {
    "activity_unknown",
    "member_unknown",
    "member_not_active",
    "partner_not_active",
    "currency_not_accepted",
}


@pytest.mark.parametrize(("code", "status"), STATUSES.items())
def test_the_contract_fixes_the_status_of_each_code(code: str, status: int) -> None:
    assert PROBLEMS[code].status == status


def test_codes_and_titles_are_told_once() -> None:
    kinds = list(PROBLEMS.values())
    assert [kind.code for kind in kinds] == list(PROBLEMS)
    assert len({kind.title for kind in kinds}) == len(kinds)


def test_no_code_stands_twice_in_the_source() -> None:
    source = (Path(__file__).parents[2] / "laurel" / "errors.py").read_text(encoding="utf-8")
    codes = re.findall(r'^    "([a-z_]+)": "', source, flags=re.MULTILINE)
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", PROBLEMS.values(), ids=lambda kind: kind.code)
def test_only_refusals_are_kept(kind: ProblemKind) -> None:
    assert not kind.kept or kind.status == 409
    assert not (kind.kept and kind.code in NOT_KEPT)
    assert re.fullmatch(r"[a-z][a-z_]*", kind.code)
    assert kind.title
    assert not kind.title.endswith(".")


def test_a_problem_makes_its_document() -> None:
    problem = Problem("invalid", errors=[Fault("/amount", "out_of_range", "Too much")])
    assert problem.document("/v1/programs/p/activities") == {
        "type": "/problems/invalid",
        "title": "The request is not valid",
        "status": 422,
        "detail": "The request is not valid",
        "instance": "/v1/programs/p/activities",
        "code": "invalid",
        "errors": [{"pointer": "/amount", "code": "out_of_range", "detail": "Too much"}],
    }


def test_facts_stand_beside_the_standard_members_and_never_hide_them() -> None:
    document = Problem("insufficient_points", extra={"available": 3, "status": 200}).document("/x")
    assert document["available"] == 3
    assert document["status"] == 409


def test_headers_say_when_to_come_again_and_how_to_prove_who_one_is() -> None:
    assert Problem("overloaded", retry_after_seconds=2).headers()["retry-after"] == "2"
    assert Problem("unauthenticated").headers()["www-authenticate"] == "Bearer"
    assert Problem("invalid").headers() == {"content-type": "application/problem+json"}


def test_a_refusal_becomes_a_problem_with_its_facts() -> None:
    refused = Refused("already_credited", "Ticket 12 was credited", credited={"program": "companion"})
    problem = refused.problem()
    assert isinstance(refused, LaurelError)
    assert (problem.code, problem.status, problem.kept) == ("already_credited", 409, True)
    assert problem.document()["credited"] == {"program": "companion"}
    assert problem.document()["detail"] == "Ticket 12 was credited"


def test_a_code_outside_the_catalogue_is_refused() -> None:
    with pytest.raises(KeyError):
        Problem("something_else")
