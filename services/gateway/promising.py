"""What each operation asks of a key, and the refusals that it has of its own: the table behind the OpenAPI document.

Beside these every operation may answer what is said of statuses in `documenting`. A route that is not here fails
`tests/house/test_operations.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Promise(NamedTuple):
    """Any one of the scopes suffices, none means any key that sees the thing; the codes are the operation's own.

    One that `may_lack_body` takes nothing at all for an empty object.
    """

    scopes: tuple[str, ...]
    codes: tuple[str, ...] = ()
    may_lack_body: bool = False


_ACTIVITY: Final = (
    "member_unknown", "activity_unknown", "partner_unknown", "identifier_blocked", "already_credited", "claim_too_late",
    "program_closed", "over_returned", "member_not_active", "partner_not_active", "currency_not_accepted",
    "limit_reached", "lines_do_not_sum", "tenders_exceed_amount", "in_the_future", "discarded",
)  # fmt: skip
_HOLD_OPEN: Final = ("member_unknown", "member_not_active", "hold_open", "discarded")
_OF_HOLD: Final = ("hold_unknown", "hold_released", "hold_expired", "hold_captured", "hold_open", "member_not_active",
                   "member_unknown", "over_returned", "limit_reached", "below_minimum", "not_eligible",
                   "insufficient_points", "discarded")  # fmt: skip
_ADJUSTMENT: Final = (
    "member_unknown", "partner_unknown", "identifier_blocked", "adjustment_unknown", "activity_unknown",
    "needs_approval", "already_corrected", "adjustment_decided", "member_not_active", "insufficient_points",
    "limit_reached", "not_eligible", "discarded",
)  # fmt: skip
_BETWEEN: Final = ("member_unknown", "identifier_blocked", "member_not_active", "insufficient_points", "limit_reached",
                   "below_minimum", "not_offered", "not_eligible", "partner_not_active", "program_unknown",
                   "discarded")  # fmt: skip
_MERGE: Final = ("member_unknown", "identifier_blocked", "member_not_active", "hold_open", "not_eligible",
                 "limit_reached", "discarded")  # fmt: skip
_REDEMPTION: Final = (
    "member_unknown", "partner_unknown", "identifier_blocked", "reward_unknown", "resource_unknown",
    "member_not_active", "partner_not_active", "insufficient_points", "sold_out", "blacked_out", "not_eligible",
    "limit_reached", "below_minimum", "key_used", "not_offered", "currency_not_accepted", "program_closed",
    "hold_expired", "partner_refused", "redemption_cancelled", "discarded",
)  # fmt: skip
_VOUCHER: Final = (
    "voucher_unknown", "voucher_spent", "voucher_expired", "voucher_void", "voucher_exceeds_basket",
    "voucher_insufficient", "voucher_not_here", "voucher_use_undone", "over_returned", "currency_not_accepted",
    "member_not_active", "not_eligible", "discarded",
)  # fmt: skip

PROMISES: Final[dict[str, Promise]] = {
    # earning
    "report_activity": Promise(("earn",), _ACTIVITY),
    "get_activity": Promise(("read", "earn"), ("activity_unknown", "partner_unknown")),
    "claim_activity": Promise(("earn",), _ACTIVITY),
    "approve_pending": Promise(("adjust",), ("activity_unknown", "partner_unknown", "needs_approval", "nothing_pending",
                                             "member_not_active", "discarded"), may_lack_body=True),
    "reject_pending": Promise(("adjust",), ("activity_unknown", "partner_unknown", "needs_approval", "nothing_pending",
                                            "member_not_active", "discarded"), may_lack_body=True),
    "quote": Promise(("earn", "read"), _ACTIVITY),
    "send_batch": Promise(("earn",), ("batch_unknown",)),
    "list_batches": Promise(("earn", "read"), ("partner_unknown",)),
    "get_batch": Promise(("earn", "read"), ("batch_unknown",)),
    "resume_batch": Promise(("earn",), ("batch_unknown", "upload_complete", "offset_mismatch")),
    "head_batch": Promise(("earn", "read"), ("batch_unknown",)),
    "get_errors": Promise(("earn", "read"), ("batch_unknown",)),
    "get_lines": Promise(("earn", "read"), ("batch_unknown",)),
    # members
    "enrol_member": Promise(("members",), ("member_unknown", "member_exists", "identifier_taken", "discarded")),
    "get_member": Promise(("read", "members"), ("member_unknown",)),
    "find_member": Promise(("read", "members", "earn", "redeem"), ("member_unknown", "identifier_blocked")),
    "add_identifier": Promise(("members",), ("member_unknown", "identifier_taken", "identifier_blocked",
                                             "member_not_active")),
    "block_identifier": Promise(("members",), ("member_unknown", "identifier_unknown")),
    "change_member": Promise(("members",), (*_HOLD_OPEN, "limit_reached")),
    "close_member": Promise(("members",), _HOLD_OPEN, may_lack_body=True),
    "erase_member": Promise(("members",), _HOLD_OPEN, may_lack_body=True),
    "export_member": Promise(("members", "admin"), ("member_unknown",)),
    "merge_member": Promise(("members",), _MERGE),
    "unmerge_member": Promise(("members",), _MERGE, may_lack_body=True),
    "get_merge": Promise(("read", "members"), ("not_found", "member_unknown")),
    "get_unmerge": Promise(("read", "members"), ("not_found", "member_unknown")),
    "put_household": Promise(("members",), ("member_unknown", "identifier_blocked", "other_household",
                                            "member_not_active", "discarded")),
    "get_household": Promise(("read", "members"), ("household_unknown",)),
    "match_status": Promise(("members",), ("member_unknown", "match_limit", "proof_expired", "not_eligible",
                                           "not_offered", "member_not_active", "discarded")),
    "get_match": Promise(("read", "members"), ("member_unknown", "not_found")),
    "get_statement": Promise(("read",), ("member_unknown",)),
    "get_lots": Promise(("read",), ("member_unknown",)),
    "get_decisions": Promise(("read",), ("member_unknown",)),
    # the wallet
    "place_hold": Promise(("redeem",), (*_OF_HOLD, "partner_unknown", "identifier_blocked", "partner_not_active")),
    "get_hold": Promise(("read", "redeem"), ("hold_unknown",)),
    "capture_hold": Promise(("redeem",), _OF_HOLD, may_lack_body=True),
    "release_hold": Promise(("redeem",), _OF_HOLD, may_lack_body=True),
    "cancel_hold": Promise(("redeem",), _OF_HOLD),
    "adjust_points": Promise(("adjust",), _ADJUSTMENT),
    "get_adjustment": Promise(("adjust", "read"), ("adjustment_unknown",)),
    "approve_adjustment": Promise(("adjust",), _ADJUSTMENT, may_lack_body=True),
    "reject_adjustment": Promise(("adjust",), _ADJUSTMENT, may_lack_body=True),
    "transfer_points": Promise(("redeem",), _BETWEEN),
    "get_transfer": Promise(("read", "redeem"), ("transfer_unknown",)),
    "exchange_points": Promise(("redeem",), _BETWEEN),
    "get_exchange": Promise(("read", "redeem"), ("exchange_unknown",)),
    # redeeming
    "put_reward": Promise(("admin",), ("reward_unknown", "discarded")),
    "get_rewards": Promise(("read", "redeem"), ("member_unknown",)),
    "get_reward": Promise(("read", "redeem"), ("reward_unknown",)),
    "redeem": Promise(("redeem",), _REDEMPTION),
    "quote_redemption": Promise(("redeem", "read"), _REDEMPTION),
    "get_redemption": Promise(("read", "redeem"), ("redemption_unknown",)),
    "confirm_redemption": Promise(("redeem",), (*_REDEMPTION, "redemption_unknown", "redemption_ended",
                                                "redemption_not_held"), may_lack_body=True),
    "cancel_redemption": Promise(("redeem",), ("redemption_unknown", "redemption_ended", "redemption_used",
                                               "member_not_active", "discarded")),
    "put_resource": Promise(("admin",), ("resource_unknown", "discarded")),
    "get_resource": Promise(("read", "redeem"), ("resource_unknown",)),
    "give_codes": Promise(("admin",), ("reward_unknown",)),
    "get_fulfilment": Promise(("admin",), ("reward_unknown",)),
    "list_vouchers": Promise(("read", "redeem"), ("member_unknown",)),
    "get_voucher": Promise(("read", "redeem"), ("voucher_unknown",)),
    "redeem_voucher": Promise(("redeem",), _VOUCHER),
    "void_voucher": Promise(("redeem",), _VOUCHER, may_lack_body=True),
    # programs, partners, keys
    "put_program": Promise(("admin",), ("effective_in_past", "program_exists")),
    "validate_program": Promise(("admin",)),
    "get_program": Promise(()),
    "get_versions": Promise(()),
    "get_version": Promise((), ("not_found",)),
    "copy_program": Promise(("admin",), ("program_exists", "effective_in_past")),
    "turn_clock": Promise(("admin",), ("clock_behind", "discarded")),
    "get_clock": Promise(("admin",)),
    "put_partner": Promise(("admin",), ("partner_unknown",)),
    "get_partner": Promise((), ("partner_unknown",)),
    "create_key": Promise(("admin",), ("partner_unknown", "program_unknown")),
    "rotate_key": Promise(("admin",), ("partner_unknown", "key_unknown"), may_lack_body=True),
    "revoke_key": Promise(("admin",), ("partner_unknown", "key_unknown")),
    "put_partnership": Promise(("admin",), ("partner_unknown",)),
    "get_partnership": Promise(("admin",), ("partner_unknown",)),
    "top_up_block": Promise(("admin",), ("partner_unknown", "discarded")),
    "get_payment": Promise(("admin",), ("partner_unknown", "not_found")),
    # hearing and counting
    "stream_events": Promise(("read",), ("program_unknown", "events_gone")),
    "create_webhook": Promise(("read",), ("program_unknown", "limit_reached")),
    "list_webhooks": Promise(("read",)),
    "get_webhook": Promise(("read",), ("webhook_unknown",)),
    "delete_webhook": Promise(("read",), ("webhook_unknown",)),
    "rotate_secret": Promise(("read",), ("webhook_unknown",), may_lack_body=True),
    "disable_webhook": Promise(("read",), ("webhook_unknown",), may_lack_body=True),
    "enable_webhook": Promise(("read",), ("webhook_unknown",), may_lack_body=True),
    "list_deliveries": Promise(("read",), ("webhook_unknown",)),
    "redeliver": Promise(("read",), ("webhook_unknown", "delivery_unknown", "webhook_disabled", "events_gone"),
                         may_lack_body=True),
    "export_rows": Promise(("admin",), ("not_found",)),
    "get_audit": Promise(("admin",), ("program_unknown",)),
    "get_liability": Promise(("admin",)),
    "get_breakage": Promise(("admin",)),
    "get_concentration": Promise(("admin",)),
}  # fmt: skip
