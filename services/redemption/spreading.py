"""A return that names vouchers becomes one step for each voucher that paid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.redemption.deciders import OF_RETURNS
from services.redemption.decoding import Step, key_of
from services.redemption.domain.giving_back import share_id
from services.redemption.domain.heard import (
    PointsClawedBack,
    ShareReturned,
    UseReturned,
)
from services.redemption.domain.vouchers import VoucherKey
from services.redemption.ports import Store


async def spread(store: Store, steps: Sequence[Step]) -> list[Step]:
    """Put in the place of each return what it means to each voucher that paid, whoever's that is.

    The uses are looked for before anything is locked, and looked at again when it is.
    """
    wanted = {
        (step.heard.program, step.heard.partner, tender.ref)
        for step in steps
        if isinstance(step.heard, PointsClawedBack)
        for tender in step.heard.tenders
        if tender.kind == "voucher"
    }
    found = await store.uses_for(wanted) if wanted else {}
    out: list[Step] = []
    for step in steps:
        if isinstance(step.heard, PointsClawedBack):
            out.extend(_returned(step, step.heard, found))
        else:
            out.append(step)
    return out


def _returned(
    step: Step, heard: PointsClawedBack, found: Mapping[tuple[str, str, str], Sequence[VoucherKey]]
) -> Iterator[Step]:
    for tender in heard.tenders:
        for key in found.get((heard.program, heard.partner, tender.ref), ()) if tender.kind == "voucher" else ():
            told: dict[str, Any] = {
                "program": heard.program, "at": heard.at, "member": key.member, "voucher": key.voucher,
                "partner": heard.partner, "reference": tender.ref, "activity": heard.activity,
                "amount": tender.amount, "before": tender.before, "after": tender.after,
            }  # fmt: skip
            share = share_id(key.voucher, heard.partner, tender.ref, heard.activity)
            for each in (ShareReturned(share=share, **told), UseReturned(**told)):
                yield Step(each, key_of(each), step.kind, OF_RETURNS[type(each)], step.message)
