"""What a decider knows besides the wallet: when, under which journal number, and which programs are in force."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from laurel.contracts.activity import ReportedActivity
from laurel.program.compiled import CompiledProgram
from laurel.program.converting import CompiledConversion
from services.points.domain.partnering import Terms
from services.points.domain.shared import Shared
from services.points.domain.state import Wallet


class Programs(Protocol):
    """The published versions of all programs, as far as they are known here."""

    def in_force(self, program: str, occurred_at: datetime, newest: int) -> CompiledProgram | None:
        """Return the version in force then, among those up to `newest`; before the first, the first."""

    def version(self, program: str, version: int) -> CompiledProgram | None:
        """Return one version."""

    def tiers_reach(self, program: str) -> int | None:
        """Return how many days back any version's tiers look; None where no version has tiers."""

    def conversions(self, program: str) -> Sequence[CompiledConversion]:
        """Return the conversions of all versions: they say when time may have to look; the one in force decides."""

    def has_segments(self, program: str) -> bool:
        """Say whether any version of a program has segments."""

    def zone(self, program: str) -> ZoneInfo:
        """Return the time zone of a program."""

    def terms(self, program: str, partner: str, newest: int) -> Sequence[Terms]:
        """Return what was said of a partner in versions up to `newest`, in their order."""

    def prepaying(self, program: str) -> Collection[str]:
        """Return the partners of whom any version says that they pay in advance."""

    def funded(self, program: str) -> Collection[tuple[str, str]]:
        """Return who pays for which unit by a rule of any version."""

    def refills(self, program: str) -> bool:
        """Say whether by any version a return lets what a cap had refused be granted."""

    def gives_to_others(self, program: str) -> bool:
        """Say whether by any version others than the member may get points."""

    def runs_by_itself(self, program: str) -> bool:
        """Say whether time passes by the wall clock; in a sandbox it passes only when told."""


@dataclass(slots=True, frozen=True)
class Moment:
    """The instant of a decision, never earlier than the wallet's own, and the number its journal will get.

    `activity` is what the message reports, decoded once for everybody; `shared` what is not the wallet's own; `others`
    are the wallets of those whom the activity concerns besides, by their role, or of those who have a share of the one
    that is decided about, by their name.
    """

    at: datetime
    journal: int
    programs: Programs
    activity: ReportedActivity | None = None
    shared: Shared = field(default_factory=Shared)
    others: Mapping[str, Wallet] = field(default_factory=dict)
