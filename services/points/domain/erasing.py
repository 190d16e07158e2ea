"""A member is forgotten: the ledger stays whole, but nobody knows any more whose it was.

What the member has comes to its own end, as that of a closed one does; nothing is earned, spent or celebrated.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.points.domain.asked import EraseMember
from services.points.domain.facts import AnyFact, HouseholdChanged, MemberChangeRefused, MemberErased
from services.points.domain.moment import Moment
from services.points.domain.state import Wallet
from services.points.domain.transferring import Halves


def erase(wallets: Sequence[Wallet], asked: EraseMember, _moments: Sequence[Moment]) -> Halves:
    """Forget the first wallet's member, and what the accounts that are a part of it knew; not while points are held.

    One that is erased already answers, and stays as it is.
    """
    first, *parts = wallets
    code, detail = _refusal(wallets)
    if code:
        refused = MemberChangeRefused(change=asked.change, asked="erase", code=code, detail=detail)
        return [(refused,), *(() for _ in parts)]
    accounts = tuple(part.member for part in parts)
    return [
        _forget(first, MemberErased(change=asked.change, accounts=accounts)),
        *(_forget(part, MemberErased(change=asked.change, of=first.member)) for part in parts),
    ]


def _forget(wallet: Wallet, erased: MemberErased) -> tuple[AnyFact, ...]:
    if erased.of is not None and wallet.status == "erased":
        return ()
    if wallet.household is None:
        return (erased,)
    return (erased, HouseholdChanged(household=wallet.household.household))


def _refusal(wallets: Sequence[Wallet]) -> tuple[str, str]:
    first, *parts = wallets
    if not all(wallet.exists for wallet in wallets):
        return "member_unknown", "The member is not enrolled"
    named = {wallet.member for wallet in wallets}
    if first.merged_into is not None or any(part.merged_into not in named for part in parts):
        return "member_not_active", "An account was joined to another one meanwhile; ask again"
    if any(balance.held for wallet in wallets for balance in wallet.balances.values()):
        return "hold_open", "Points of the member are held; capture or release them first"
    return "", ""
