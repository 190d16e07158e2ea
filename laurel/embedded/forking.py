"""Python processes that begin with everything loaded.

Services that each load the same libraries spend most of a start, and of two cores, on doing so. Loaded once in the
parent and forked, they are there at once, and their memory is shared for as long as nobody writes to it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from laurel.embedded.children import Child
from laurel.embedded.launcher import PR_SET_PDEATHSIG
from laurel.io.migrating import SCHEMAS

PRELOADED = (
    "fastapi",
    "httptools",
    "uvicorn",
    "uvloop",
    "laurel.contracts.registry",
    "laurel.io.consumer",
    "laurel.io.http",
    "laurel.io.relay",
    "laurel.io.runner",
    "laurel.io.settings",
    "laurel.io.tail",
    "laurel.program.compiled",
    "laurel.program.loading",
    *(f"services.{schema}.worker" for schema in SCHEMAS),
)
"""What every service loads, and the services. Loading starts no thread and opens no loop, or a fork is not safe."""

_FIRST_FILE = 3
_FILES_MAX = 1024


def preload() -> None:
    """Load the libraries that the children will need."""
    for module in PRELOADED:
        import_module(module)
    # What is there now stays; a collection in a child would touch, and so copy, every page of it.
    gc.collect()
    gc.freeze()


class Forked(Child):
    """A module run as `python -m` would run it, in a fork of this process; otherwise as any Child."""

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        self.stop_signal = signal.SIGTERM
        self._exit_code: int | None = None
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        with self._sink() as sink:
            # A signal that reached the child before it is itself would run the parent's handlers there.
            masked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                self._pid = os.fork()
                if self._pid == 0:
                    _become(module, arguments, environment, sink.fileno(), parent)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, masked)

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        if self._exit_code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._exit_code = os.waitstatus_to_exitcode(status)
        return self._exit_code


def _become(module: str, arguments: Sequence[str], environment: Mapping[str, str], sink: int, parent: int) -> NoReturn:
    """Leave everything of the parent's behind, and never return into its code."""
    code = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for file, place in ((nothing, 0), (sink, 1), (sink, 2)):
            os.dup2(file, place)
        os.closerange(_FIRST_FILE, _FILES_MAX)
        # Whatever the parent had put in their place.
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = _code_of(ended)
    except BaseException:  # noqa: BLE001 - the last thing that this process does is to say why it ends
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _code_of(ended: SystemExit) -> int:
    if ended.code is None or isinstance(ended.code, int):
        return ended.code or 0
    sys.stderr.write(f"{ended.code}\n")
    return 1
