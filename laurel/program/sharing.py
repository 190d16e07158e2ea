"""What members may give each other, and what one program gives for the points of another, ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from laurel.program.document import GiftWindow
from laurel.rounding import scaled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laurel.program.document import GiftLimit, ProgramDocument
    from laurel.program.windows import WindowKind

Direction = Literal["given", "received"]
_DIRECTIONS: Final[tuple[Direction, ...]] = ("given", "received")


@dataclass(frozen=True, slots=True)
class CompiledGiftLimit:
    """How much a member may give, or be given, in a window; `counter` names what counts it."""

    counter: str
    window: WindowKind
    points: int


@dataclass(frozen=True, slots=True)
class CompiledTransfers:
    """What members may give each other of a unit."""

    unit: str
    least: int
    most: int | None
    given: CompiledGiftLimit | None
    received: CompiledGiftLimit | None


@dataclass(frozen=True, slots=True)
class CompiledExchange:
    """At which rate points of a unit become points of another program, and who pays for them there."""

    unit: str
    program: str
    into: str
    numerator: int
    denominator: int
    least: int
    step: int
    funder: str
    price: str
    currency: str

    def arrives(self, amount: int) -> int:
        """Return what comes of an amount, rounded down."""
        return scaled(amount, self.numerator, self.denominator, "down")


def compile_transfers(document: ProgramDocument) -> Mapping[str, CompiledTransfers]:
    """Compile the limits of gifts, by unit."""
    return {
        unit: CompiledTransfers(
            unit,
            terms.least or 1,
            terms.most,
            _limit(unit, "given", terms.given),
            _limit(unit, "received", terms.received),
        )
        for unit, terms in document.transfers.items()
    }


def compile_exchanges(document: ProgramDocument) -> Mapping[tuple[str, str], CompiledExchange]:
    """Compile the exchanges, by unit and the other program."""
    return {
        (each.unit, each.to): CompiledExchange(
            each.unit,
            each.to,
            each.into,
            each.rate.numerator,
            each.rate.denominator,
            each.least or 1,
            each.step,
            each.funding.funder,
            each.funding.price or "",
            each.funding.currency or (document.currency if each.funding.price is not None else ""),
        )
        for each in document.exchanges
    }


def gift_counters(unit: str, direction: Direction) -> list[str]:
    """Return every counter that a limit on gifts of a unit may have, in whatever version."""
    return [_counter(unit, direction, window) for window in get_args(GiftWindow)]


def _limit(unit: str, direction: Direction, limit: GiftLimit | None) -> CompiledGiftLimit | None:
    if limit is None:
        return None
    return CompiledGiftLimit(_counter(unit, direction, limit.window), limit.window, limit.points)


def _counter(unit: str, direction: Direction, window: str) -> str:
    return f"transfer/{unit}-{direction}/{window}"
