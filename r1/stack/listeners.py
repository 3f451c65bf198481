"""Who listens on a TCP port of this machine, as far as /proc lets this user see."""

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from r1.stack.processes import PROC, all_pids, name_of

LISTEN_STATE = "0A"


@dataclass(frozen=True)
class TakenPort:
    """A port that a stack needs and that somebody has."""

    name: str
    port: int
    pid: int | None
    command: str | None

    def sentence(self) -> str:
        """Return the one sentence a user needs: which port, whose, and what to do."""
        who = f"process {self.pid} ({self.command})" if self.pid else "another process"
        return (
            f"port {self.port} ({self.name.replace('_', ' ')}) is taken by {who}: "
            f"end it, or choose other ports with --port-base N"
        )


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on the port, on this host and on all interfaces.

    Raises:
        OSError: the port can't be tried at all (for instance not permitted).
    """
    for address in (host, "0.0.0.0"):  # noqa: S104 - tried and closed, never served
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
            # Connections that ended a moment ago don't count as somebody's port.
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind((address, port))
                candidate.listen(1)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return False
                raise
    return True


def listening_inodes(text: str, port: int) -> set[str]:
    """Return the socket inodes that listen on `port`, from the text of /proc/net/tcp or tcp6."""
    inodes = set()
    for line in text.splitlines()[1:]:
        fields = line.split()
        if fields[3] == LISTEN_STATE and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.add(fields[9])
    return inodes


def owner(port: int, proc: Path = PROC) -> int | None:
    """Return the pid that listens on the port, or None if it can't be seen."""
    inodes: set[str] = set()
    for table in ("tcp", "tcp6"):
        try:
            inodes |= listening_inodes((proc / "net" / table).read_text(), port)
        except OSError:
            continue
    wanted = {f"socket:[{inode}]" for inode in inodes}
    if not wanted:
        return None
    for pid in all_pids(proc):
        try:
            for handle in (proc / str(pid) / "fd").iterdir():
                if os.readlink(handle) in wanted:
                    return pid
        except OSError:
            continue
    return None


def taken(ports: dict[str, int]) -> list[TakenPort]:
    """Return which of the named ports are taken, with their owners where visible."""
    found = []
    for name, port in ports.items():
        if not is_free(port):
            pid = owner(port)
            found.append(TakenPort(name, port, pid, name_of(pid) if pid else None))
    return found
