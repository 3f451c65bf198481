"""Writes or checks the CPU locks: what pyproject.toml asks for, as it is installed in `.venv`.

    .venv/bin/python -m scripts.lock           write them, after installing something new
    .venv/bin/python -m scripts.lock --check   exit 1 with the differences

locks/cpu.txt is the whole environment, the others are the parts of it that an image has. The
closure is taken over every supported Python, so that one lock serves them all.
"""

import argparse
import importlib.metadata
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from packaging.requirements import Requirement

from scripts.bootstrap.interpreters import SUPPORTED
from scripts.bootstrap.lock import FORBIDDEN, canonical, read_lock

EXTRAS = (
    "serving",
    "cpu",
    "telemetry",
    "plot",
    "kubernetes",
    "adapters",
    "gateway",
    "local",
    "loadtests",
    "dev",
)
LOCKS = {
    "cpu": EXTRAS,
    "gateway": ("gateway", "otel"),
    "load": ("loadtests",),
    "serving-cpu": ("serving", "cpu", "telemetry"),
}
# What a package asks for and an image does without. triton, a gigabyte, comes with xgrammar, which
# compiles kernels for GPUs with it; it has no CPU backend, so vLLM switches it off there anyway.
# With opencv vLLM reads films, which no model here does.
LEFT_OUT = {"serving-cpu": {"triton", "opencv-python-headless"}}
HEADER = """\
# Every package of the CPU environment: pyproject.toml's extras {extras}.
# Written by `python -m scripts.lock`. Install torch first and then the rest without a resolver
# (`make up` and `make test` do both): pip install --no-deps torch=={torch}
#                                      pip install --no-deps -r locks/cpu.txt
# torchvision, torchaudio and torchcodec are left out on purpose: see scripts/bootstrap/lock.py.
"""
IMAGE_HEADER = """\
# Every package of the image {name}: pyproject.toml's extras {extras}.
# Written by `python -m scripts.lock`, with the versions of locks/cpu.txt.
"""

Requires = Callable[[str], Iterable[str]]


def environments() -> list[dict[str, str]]:
    """Marker variables of the supported Pythons, with the first and a late patch release."""
    return [
        {"python_version": f"{major}.{minor}", "python_full_version": f"{major}.{minor}.{patch}"}
        for major, minor in SUPPORTED
        for patch in (0, 15)
    ]


def closure(roots: Iterable[str], requires: Requires, environment: Mapping[str, str]) -> set[str]:
    """Names of everything that `roots` need; `requires` gives a distribution's requirements."""
    todo = [Requirement(root) for root in roots]
    done: set[tuple[str, frozenset[str]]] = set()
    while todo:
        current = todo.pop()
        key = (canonical(current.name), frozenset(current.extras))
        if key in done or key[0] in FORBIDDEN:
            continue
        done.add(key)
        for text in requires(key[0]):
            needed = Requirement(text)
            if needed.marker is None or any(
                needed.marker.evaluate({**environment, "extra": extra})
                for extra in ("", *current.extras)
            ):
                todo.append(needed)
    return {name for name, _ in done}


def wanted(pyproject: Path, lock: str = "cpu") -> dict[str, str]:
    """Return {name: installed version} for all that the extras of a lock need.

    Raises importlib.metadata.PackageNotFoundError for one that is not installed.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    roots = [*project["dependencies"], *(text for extra in LOCKS[lock] for text in extras[extra])]
    names: set[str] = set()
    for environment in environments():
        names |= closure(roots, lambda name: importlib.metadata.requires(name) or (), environment)
    names -= LEFT_OUT.get(lock, set())
    return {name: importlib.metadata.version(name) for name in sorted(names)}


def header(lock: str, pinned: Mapping[str, str]) -> str:
    """Return the comment that a lock begins with."""
    extras = ", ".join(LOCKS[lock])
    if lock == "cpu":
        return HEADER.format(extras=extras, torch=pinned["torch"])
    return IMAGE_HEADER.format(name=lock, extras=extras)


def main() -> int:
    """Return 0, or 1 where --check finds a difference."""
    parser = argparse.ArgumentParser(description="Write or check the CPU locks.")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    differ = False
    for lock in LOCKS:
        path = root / "locks" / f"{lock}.txt"
        pinned = wanted(root / "pyproject.toml", lock)
        if options.check:
            locked = read_lock(path)
            for name, version in sorted(set(pinned.items()) ^ set(locked.items())):
                where = "not in" if pinned.get(name) == version else "only in"
                print(f"{name}=={version}: {where} {path.name}")
                differ = True
            continue
        lines = [f"{name}=={version}\n" for name, version in pinned.items()]
        path.write_text(header(lock, pinned) + "".join(lines), encoding="utf-8")
        print(f"{path}: {len(lines)} packages")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
