"""Makes `.venv` what the lock says, with the least work, safe against interrupts and twins."""

import contextlib
import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.bootstrap import checks
from scripts.bootstrap.interpreters import SUPPORTED, Refusal, probe
from scripts.bootstrap.lock import differences, read_lock
from scripts.bootstrap.pip import Pip, Progress, logged
from scripts.bootstrap.stamp import Action, Stamp, decide, digest, read_stamp

_INVENTORY = (
    "import importlib.metadata as m, json, re; "
    "print(json.dumps({re.sub('[-_.]+', '-', d.name).lower(): d.version"
    " for d in m.distributions()}))"
)


class Environment:
    """The `.venv` of one checkout, and the files beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.python = self.folder / "bin" / "python"
        self.lock_file = root / "locks" / "cpu.txt"
        self.log = root / ".venv-install.log"
        self._stamp = self.folder / "r1-stamp.json"
        self._marker = self.folder / "r1-incomplete"

    def action(self) -> Action:
        """What has to be done; reads a few small files and starts `.venv`'s Python once."""
        found = probe(str(self.python))
        usable = found is not None and found.version in SUPPORTED
        version = found.version if found is not None and usable else sys.version_info[:2]
        return decide(
            self._wanted(version),
            read_stamp(self._stamp),
            usable=usable,
            interrupted=self._marker.exists(),
        )

    def clear(self) -> None:
        """Remove the whole environment, a half-made one too."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def apply(self, action: Action) -> None:
        """Carry `action` out; REBUILD wants the folder cleared.

        Raises Refusal. After that or an interrupt the marker stays, so that the next call rebuilds.
        """
        if action is Action.REBUILD:
            self.folder.mkdir()
        # An environment that somebody else filled rightly is taken as it is.
        adopted = action is Action.INSTALL and not self._differences()
        self._marker.touch()
        self._stamp.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)
        progress = Progress()
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        pip = Pip(self.python, self.log, logged(self.log, temporary, progress))
        started = time.monotonic()
        try:
            if action is Action.REBUILD:
                self._create()
            if action is not Action.REGISTER and not adopted:
                pip.install_torch(read_lock(self.lock_file)["torch"])
                pip.install_lock(self.lock_file)
            pip.register(self.root)
            wrong = self._differences()
            if wrong:
                raise Refusal(f"The environment is not what the lock says: {'; '.join(wrong[:5])}.")
        finally:
            progress.done([])
        found = probe(str(self.python))
        if found is None:
            raise Refusal(f"{self.python} does not run: remove {self.folder} and try again.")
        shutil.rmtree(temporary)
        self._wanted(found.version).write(self._stamp)
        self._marker.unlink()
        progress.done([f"r1: environment ready after {time.monotonic() - started:.0f} s"])

    def _wanted(self, version: tuple[int, int]) -> Stamp:
        return Stamp(
            lock=digest(self.lock_file),
            pyproject=digest(self.root / "pyproject.toml"),
            python="{}.{}".format(*version),
            root=str(self.root),
        )

    def _create(self) -> None:
        # The base interpreter: an environment made from an environment breaks with it.
        base = getattr(sys, "_base_executable", sys.executable)
        result = subprocess.run(
            [base, "-I", "-m", "venv", str(self.folder)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            reason = (result.stdout + result.stderr).strip()
            raise Refusal(f"{base} cannot make a virtual environment: {reason}")

    def _differences(self) -> list[str]:
        answer = subprocess.run(
            [str(self.python), "-I", "-c", _INVENTORY],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        return differences(read_lock(self.lock_file), json.loads(answer.stdout))


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold `path`'s file lock, so that two makes never write into one environment.

    The system frees it when this process ends, however it ends. Raises OSError where `path`
    cannot be written.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("r1: waiting for another make that is installing", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure(root: Path) -> None:
    """Make the environment of the checkout `root` fresh. Raises Refusal."""
    problem = checks.platform_problem(platform.system(), platform.machine(), platform.libc_ver())
    if problem is None:
        problem = checks.compiler_problem(os.environ)
    if problem is not None:
        raise Refusal(problem)
    environment = Environment(root)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(alone(root / ".venv.lock"))
        except OSError:
            # A read-only checkout can still be used if nothing is left to install.
            if environment.action() is Action.NOTHING:
                return
            raise Refusal(_unwritable(root)) from None
        action = environment.action()
        if action is Action.NOTHING:
            return
        problem = checks.folder_problem(root) or checks.headers_problem(os.environ)
        if problem is None and action is Action.REBUILD:
            environment.clear()
        if problem is None and action is not Action.REGISTER:
            problem = checks.disk_problem(root, checks.free_bytes(root))
        if problem is not None:
            raise Refusal(problem)
        if action is Action.REBUILD:
            print("r1: installing into .venv (3.8 GB, about two minutes)", file=sys.stderr)
        environment.apply(action)


def _unwritable(root: Path) -> str:
    return checks.folder_problem(root) or f"Cannot write {root / '.venv.lock'}: remove that file."


def _terminated(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Entry behind `python3 -m scripts.bootstrap`; the argument is the checkout's folder.

    Returns 0, 1 where refused, 130 where interrupted.
    """
    signal.signal(signal.SIGTERM, _terminated)
    try:
        ensure(Path(arguments[0]))
    except Refusal as refusal:
        print(f"r1: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nr1: interrupted; the next make installs again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
