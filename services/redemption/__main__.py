"""`python -m services.redemption api|worker|both`."""

from __future__ import annotations

import sys
from typing import Final, cast, get_args

import uvloop
from pydantic import ValidationError

from services.redemption.settings import RedemptionSettings
from services.redemption.worker import Mode, run

MODES: Final = get_args(Mode)


def main(arguments: list[str]) -> None:
    """Run the process that the one argument names."""
    if len(arguments) != 1 or arguments[0] not in MODES:
        sys.exit(f"usage: python -m services.redemption {'|'.join(MODES)}")
    try:
        settings = RedemptionSettings()
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        sys.exit(f"the settings LAUREL_REDEMPTION_* are not complete: {faults}")
    uvloop.run(run(cast("Mode", arguments[0]), settings))


if __name__ == "__main__":
    main(sys.argv[1:])
