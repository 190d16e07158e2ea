"""Messages become steps: read, checked against their keys, and with the versions that they are judged by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from laurel.contracts.activity import ReportedActivity
from laurel.contracts.processing import CannotProcessError, read_each
from services.points.deciders import AMONG, DECIDERS, NOT_FOR_US, Among, Decider
from services.points.domain.asked import Asked, Report, Versions
from services.points.domain.partnering import partners_of
from services.points.ports import Incoming, WalletKey


@dataclass(slots=True)
class Step:
    """A message on the road, decoded."""

    message: Incoming
    decider: Decider | Among
    asked: Asked
    key: WalletKey
    activity: ReportedActivity | None = None
    takes_back: bool = False
    """Whether it may take back what another activity earned: a return, or what ends something early."""
    releases: bool = False
    """Whether others may have a share of the activity it names that awaits it."""
    others: tuple[WalletKey, ...] = ()
    survivor: WalletKey | None = None
    """Who answers for the account that the wallet is a part of: what the decision leaves in it goes there."""
    between: set[WalletKey] = field(default_factory=set)
    """The accounts of a chain of merges through which that goes, or what others leave."""
    pool: tuple[WalletKey, ...] = ()
    """The others of the household that pay together with the member."""
    concerned: set[WalletKey] = field(default_factory=set)
    """The wallets of those whom an activity may concern besides."""
    shares: set[tuple[str, str, int]] = field(default_factory=set)
    heirs: dict[WalletKey, WalletKey] = field(default_factory=dict)
    """Who answers for those of them that are parts of other accounts."""


def decode(messages: Sequence[Incoming]) -> list[Step]:
    """Read the messages that are for points; raises `CannotProcessError` naming all that cannot be read."""
    return read_each(messages, _read)


def _read(message: Incoming) -> Step | None:
    decider = DECIDERS.get(message.type) or AMONG.get(message.type)
    if decider is None:
        if message.type.startswith(NOT_FOR_US):
            return None
        raise CannotProcessError(message, "unknown_type", f"No decider answers {message.type}")
    try:
        asked = decider.decode(message.body)
        activity = asked.decoded() if isinstance(asked, Report) else None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CannotProcessError(message, "undecodable", str(error)) from error
    if (asked.member or "") != message.member or asked.program != message.program:
        # The order of keys would not protect it.
        raise CannotProcessError(message, "undecodable", "The body names another member than its key")
    step = Step(message, decider, asked, WalletKey(message.program, message.member), activity)
    if isinstance(decider, Among):
        step.others = tuple(WalletKey(*other) for other in decider.others(asked))
        if not message.member:
            # It is asked of the program; the first whom it concerns stands for all.
            step.key, *others = sorted(set(step.others))
            step.others = tuple(others)
    return step


def newest_versions(steps: Sequence[Step]) -> dict[str, int]:
    """Return the newest version of each program that any of the messages was accepted under."""
    newest: dict[str, int] = {}
    for step in steps:
        for program, version in versions_of(step):
            if version > newest.get(program, 0):
                newest[program] = version
    return newest


def versions_of(step: Step) -> list[tuple[str, int]]:
    """Return the versions that a message was accepted under, of programs and of what is said of their partners."""
    found: list[tuple[str, int]] = []
    for program, versions in step.asked.judged_by().items():
        found.append((program, versions.program))
        if versions.partners:
            found.append((partners_of(program), versions.partners))
    return found


def judged_by(asked: Asked, program: str) -> Versions:
    """Return the versions by which a message is judged in a program."""
    return asked.judged_by()[program]
