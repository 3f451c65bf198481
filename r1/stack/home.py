"""The folder of one local stack: what it remembers, its secrets and its logs."""

import getpass
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

SECRET_BYTES = 32


def state_root(environment: dict[str, str] | None = None) -> Path:
    """Return the folder that holds one folder a stack: $R1_STATE_DIR, or ~/.local/state/r1."""
    variables = dict(os.environ) if environment is None else environment
    if given := variables.get("R1_STATE_DIR"):
        return Path(given).expanduser()
    if base := variables.get("XDG_STATE_HOME"):
        return Path(base) / "r1"
    return Path.home() / ".local" / "state" / "r1"


def engine_folders(temp_dir: str) -> dict[str, str]:
    """The environment by which engines leave what they leave in a folder that goes with them.

    Compiled kernels stay, because the next start is quicker with them.
    """
    kernels = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}"
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    return {"TMPDIR": temp_dir, "TORCHINDUCTOR_CACHE_DIR": given or str(kernels)}


@dataclass(frozen=True)
class Home:
    """Paths of the stack with one port base. Everything in it is its user's alone."""

    path: Path

    @classmethod
    def of(cls, base: int, root: Path | None = None) -> "Home":
        """Return the home of the stack with this port base."""
        return cls((root or state_root()) / str(base))

    @property
    def plan(self) -> Path:
        """What the stack was asked to be."""
        return self.path / "plan.json"

    @property
    def status(self) -> Path:
        """What the stack is, written by its supervisor."""
        return self.path / "status.json"

    @property
    def progress(self) -> Path:
        """The supervisor's lines for people."""
        return self.path / "progress.log"

    @property
    def lock(self) -> Path:
        """Locked as long as a guard lives."""
        return self.path / "lock"

    @property
    def logs(self) -> Path:
        """One log a part."""
        return self.path / "logs"

    @property
    def store(self) -> Path:
        """Redis's data: keys survive restarts here."""
        return self.path / "store"

    @property
    def gateway_config(self) -> Path:
        """The gateway's configuration file."""
        return self.path / "gateway.yaml"

    @property
    def plane_config(self) -> Path:
        """The model plane's configuration file."""
        return self.path / "plane.json"

    @property
    def machine(self) -> Path:
        """The description of this machine, where it is none of the shipped shapes."""
        return self.path / "machine.yaml"

    @property
    def store_config(self) -> Path:
        """Redis's configuration file."""
        return self.path / "store.conf"

    @property
    def user_key(self) -> Path:
        """The local user's own API key, for `r1 env` and `r1 chat`."""
        return self.path / "secrets" / "user.key"

    def log(self, part: str) -> Path:
        """Return the log of a part."""
        return self.logs / f"{part}.log"

    def secret_file(self, name: str) -> Path:
        """Return a secret's file, made with a fresh random value if it is missing."""
        path = self.path / "secrets" / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(SECRET_BYTES))
        return path

    def create(self) -> None:
        """Make the folders, closed to other users.

        Raises:
            OSError: no space, or no permission.
        """
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.chmod(0o700)
        for folder in (self.logs, self.store, self.path / "secrets"):
            folder.mkdir(exist_ok=True, mode=0o700)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    fresh.replace(path)
