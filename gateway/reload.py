"""The configuration as it is on disk: all its files, and when they say something new."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from gateway.auth import bootstrap
from gateway.auth.bootstrap import DeclaredKey
from gateway.config import ConfigError, load, secret_files, store_files
from gateway.settings import Settings

Marks = Mapping[Path, bytes | None]
"""A digest of each file's content; None for one that can't be read."""

# The sockets are opened once and shared by old and new workers.
_FIXED = ("listen.host", "listen.port", "listen.send_buffer_bytes", "admin.host", "admin.port")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What one reading of all files gave."""

    settings: Settings
    declared: tuple[DeclaredKey, ...]
    """The keys of `auth.bootstrap_file`."""
    marks: Marks


def read(path: Path, environ: Mapping[str, str]) -> Configuration:
    """Read and check all files. Raises ConfigError."""
    # Digests are taken before contents: a change in between is then seen once too often, which
    # does no harm, and never missed.
    own = marks((path,))
    settings = load(path, environ)
    named = [file for _, file, _ in secret_files(settings)]
    named += [file for _, file in store_files(settings)]
    if settings.auth.bootstrap_file is not None:
        named.append(settings.auth.bootstrap_file)
    found = {**marks(named), **own}
    return Configuration(settings, bootstrap.read(settings.auth.bootstrap_file), found)


def marks(paths: Iterable[Path]) -> Marks:
    """The digests of files. Links are followed: Kubernetes swaps one to change a ConfigMap."""
    return {path: _digest(path) for path in paths}


def check_fixed(old: Settings, new: Settings) -> None:
    """Raise ConfigError for each field that only a restart can change."""
    faults = []
    for field in _FIXED:
        before, after = attrgetter(field)(old), attrgetter(field)(new)
        if before != after:
            faults.append(
                f"{field}: needs a restart to change from {before} to {after}; restart the "
                "gateway, or put it back"
            )
    if faults:
        raise ConfigError("\n".join(faults))


class Watch:
    """Decides by looks at the files, one after the other, when they are worth reading again."""

    def __init__(self, known: Marks) -> None:
        self._known = known
        self._last: Marks = known

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files to look at."""
        return tuple(self._known)

    def read(self, known: Marks) -> None:
        """The files were read when they had these marks."""
        self._known = self._last = known

    def look(self, found: Marks) -> bool:
        """True for a change that was there at the look before too: its writer is done."""
        settled = found == self._last
        self._last = found
        return settled and found != self._known


def _digest(path: Path) -> bytes | None:
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError:
        return None
