"""Who fulfils a reward, where it is not Laurel that does."""

from typing import Annotated

from pydantic import Field

from laurel.contracts.envelope import Said

PartnerAddress = Annotated[str, Field(max_length=2000, pattern=r"^https?://[^\s]+$")]


class Fulfilment(Said):
    """A partner that fulfils: where it is asked, how long for one answer, and when it counts as silent."""

    url: PartnerAddress
    timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 10
    deadline_seconds: Annotated[int, Field(ge=1, le=604_800)] = 3600
