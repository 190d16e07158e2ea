"""What is said of partners, as far as it was read from the compacted topic and kept in a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from laurel.contracts.programs import PartnerPublished
from laurel.io.aside import Aside
from laurel.io.database import Database, is_data_error
from laurel.io.message import Message
from laurel.shapes import decoder_of
from services.points.domain.partnering import Terms, partners_of

_INSERT = """
    insert into partner_terms (program, version, partner, state, since, billing)
    values ($1, $2, $3, $4, $5, $6) on conflict do nothing"""

_SELECT = "select program, version, partner, state, since, billing from partner_terms order by program, version"

_decode = decoder_of(PartnerPublished).decode


class KnownTerms:
    """Every version of what is said of the partners of programs. What lies beyond a gap is not judged by."""

    def __init__(self, database: Database, aside: Aside) -> None:
        self._database = database
        self._aside = aside
        self._versions: dict[str, dict[int, Terms]] = {}
        self._whole: dict[str, int] = {}
        self._prepaying: dict[str, frozenset[str]] = {}
        self._of: dict[tuple[str, str], list[Terms]] = {}

    async def load(self) -> None:
        """Read what was kept before."""
        async with self._database.connection() as connection:
            for program, version, partner, state, since, billing in await connection.fetch(_SELECT):
                self._add(program, Terms(version, partner, state, since, billing))

    async def take(self, message: Message) -> None:
        """Take one record: keep it in the table, then know it."""
        name = partners_of(message.program)
        try:
            said = _decode(message.body)
            if said.program != message.program:
                detail = f"a record of {message.program} speaks of {said.program}"
                raise ValueError(detail)
            if said.version in self._versions.get(said.program, {}):
                return
            terms = Terms(said.version, said.partner, said.state, said.since, said.billing)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it stays so
            self._aside.put(name, message.id, error)
            return
        try:
            await self._keep(said.program, terms)
        except Exception as error:
            if not is_data_error(error):
                raise
            self._aside.put(name, message.id, error)
            return
        self._add(said.program, terms)
        self._aside.taken(name, message.id)

    async def _keep(self, program: str, terms: Terms) -> None:
        async with self._database.connection() as connection:
            await connection.execute(_INSERT, program, *terms)

    def _add(self, program: str, terms: Terms) -> None:
        versions = self._versions.setdefault(program, {})
        versions[terms.version] = terms
        whole = self._whole.get(program, 0)
        while whole + 1 in versions:
            whole += 1
        self._whole[program] = whole
        of = self._of.setdefault((program, terms.partner), [])
        of.append(terms)
        of.sort()
        if terms.billing == "prepaid":
            self._prepaying[program] = self._prepaying.get(program, frozenset()) | {terms.partner}

    def knows(self, program: str, version: int) -> bool:
        """Say whether everything up to a version is known."""
        return version <= self._whole.get(program, 0)

    def terms(self, program: str, partner: str, newest: int) -> Sequence[Terms]:
        """Return what was said of a partner in versions up to `newest`, in their order."""
        said = self._of.get((program, partner))
        return () if said is None else [each for each in said if each.version <= newest]

    def prepaying(self, program: str) -> Collection[str]:
        """Return the partners of whom any version says that they pay in advance."""
        return self._prepaying.get(program, ())
