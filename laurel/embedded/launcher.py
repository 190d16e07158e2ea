"""Become another program that dies with the process that started it.

Run by path and without site-packages (`python -I -S launcher.py …`), since it stands before every program.
A function run between fork and exec could do the same, but is unsafe in a process with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """`parent signal user group program …`; user and group are -1 to stay who we are."""
    parent, death_signal, user, group = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    if user >= 0:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    if sys.platform == "linux":
        # After the change of user, which would forget it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            # The parent died before the wish was heard.
            os.kill(os.getpid(), signal.SIGKILL)
    os.execv(command[0], command)  # noqa: S606 - becoming the program is the point


if __name__ == "__main__":
    main(sys.argv[1:])
