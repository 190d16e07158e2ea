"""The program model: a document that says what earns points, its checks, and its compiled form for the hot path.

load_program (loading) ──▶ ProgramDocument (document) ──▶ CompiledProgram (compiled) ──▶ evaluate(basis_of(activity))
"""

from laurel.program.bases import Basis, basis_of
from laurel.program.compiled import CompiledProgram, CompiledRule, CompiledUnit, RuleOutcome
from laurel.program.document import ProgramDocument
from laurel.program.faults import ProgramFaults
from laurel.program.loading import dump_program, load_program
from laurel.program.returning import (
    NOTHING_RETURNED,
    Returned,
    ReturnedLine,
    basis_less_returns,
    is_all,
    plus_return,
    returned_total,
)

__all__ = [
    "NOTHING_RETURNED",
    "Basis",
    "CompiledProgram",
    "CompiledRule",
    "CompiledUnit",
    "ProgramDocument",
    "ProgramFaults",
    "Returned",
    "ReturnedLine",
    "RuleOutcome",
    "basis_less_returns",
    "basis_of",
    "dump_program",
    "is_all",
    "load_program",
    "plus_return",
    "returned_total",
]
