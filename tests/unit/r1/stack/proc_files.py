"""A small /proc made of files, for tests that must not depend on this machine's processes."""

from pathlib import Path


def add_process(
    proc: Path,
    pid: int,
    parent: int,
    *,
    state: str = "S",
    name: str = "python",
    started: int = 100,
    environment: tuple[str, ...] = (),
) -> None:
    """Add one process; fields as in proc(5)."""
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    rest = [state, str(parent), *(["0"] * 17), str(started), "0", "0"]
    (folder / "stat").write_text(f"{pid} ({name}) {' '.join(rest)}\n")
    (folder / "environ").write_bytes(b"".join(each.encode() + b"\0" for each in environment))
    (folder / "cmdline").write_bytes(f"{name}\0--flag\0".encode())
    (folder / "comm").write_text(f"{name}\n")
