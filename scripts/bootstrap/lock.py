"""The lock file: complete, one `name==version` a line, installed without a resolver."""

import re
from pathlib import Path

# Their builds on the default index are for CUDA: beside a CPU torch, importing transformers fails.
FORBIDDEN = frozenset({"torchvision", "torchaudio", "torchcodec"})

_LINE = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.+!_-]+)$")


def canonical(name: str) -> str:
    """A distribution's name as indexes compare it: `Foo._Bar` is `foo-bar`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(path: Path) -> dict[str, str]:
    """Return {canonical name: version}. Raises ValueError at a line that pins nothing."""
    pinned: dict[str, str] = {}
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        found = _LINE.match(line)
        if found is None:
            raise ValueError(f"{path}:{number}: not name==version: {line}")
        name = canonical(found["name"])
        if name in pinned:
            raise ValueError(f"{path}:{number}: {name} is pinned twice")
        pinned[name] = found["version"]
    return pinned


def differences(pinned: dict[str, str], installed: dict[str, str]) -> list[str]:
    """What keeps `installed` from being `pinned`; packages beyond the lock are left alone."""
    wrong = [
        f"{name} {installed.get(name, 'is missing')}, locked {version}"
        for name, version in sorted(pinned.items())
        if installed.get(name) != version
    ]
    return wrong + [f"{name} must not be there" for name in sorted(FORBIDDEN & set(installed))]
