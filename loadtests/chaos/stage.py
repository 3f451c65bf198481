"""All that runs while faults are tried: Redis, two model servers, wires, and a gateway."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import redis as redis_client

from loadtests.chaos.engines import Command, Engine
from loadtests.chaos.processes import Child, Keeper
from loadtests.chaos.room import mount, unmount
from loadtests.chaos.wire import Wire
from loadtests.gateways.targets import counted, free_port, redis_binary, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.chaos.room import Room
    from loadtests.streams import Target

_FAKETIME = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")
MADE_UP = "engine-{}.chaos"
"""Names of the model servers, in this command's own hosts file."""


class Redis:
    """A Redis that keeps a log of its writes, so that a killed one comes back with them."""

    def __init__(self, keeper: Keeper, folder: Path) -> None:
        self.port = free_port()
        self._keeper = keeper
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._child: Child
        self.revive()

    def client(self) -> redis_client.Redis:
        """To talk to it, without any fault between."""
        return redis_client.Redis(port=self.port, socket_timeout=5)

    def revive(self) -> None:
        """Start it unless it runs, and wait until it answers. Raises CannotStart."""
        if not hasattr(self, "_child") or self._child.process.poll() is not None:
            words = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder))
            keeps = ("--save", "", "--appendonly", "yes")
            self._child = self._keeper.spawn("redis", [redis_binary(), *words, *keeps], {})
        wait_until(self._answers, self._child.process, "Redis")

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis_client.RedisError:
                return False


@dataclass(frozen=True)
class Served:
    """A running gateway: whom to ask, and the processes that it is."""

    target: Target
    child: Child
    admin: int | None = None
    """The port with r1's own metrics."""
    clocked: bool = False
    """Whether its wall clock can be made to jump."""

    def resumed(self) -> float:
        """Streams that went on elsewhere so far; 0 for who can't tell."""
        if self.admin is None:
            return 0.0
        return counted(self.admin, "r1_resumes_total", "outcome").get("ok", 0.0)


@dataclass
class Stage:
    """What faults act on."""

    room: Room
    folder: Path
    keeper: Keeper
    engines: list[Engine]
    wires: dict[str, Wire]
    """By the name of the server behind it: engine-0, engine-1, redis."""
    redis: Redis
    clock: Path
    """What the gateway's clock is ahead, as libfaketime reads it."""
    disk: Path
    """Where the gateway and Redis write: small, if it could be made so."""
    group: Path | None
    """The gateway's control group for memory, if it could be made."""
    served: Served = field(init=False)

    def urls(self) -> list[str]:
        """Of the model servers, as the gateway gets there: by name where names are our own."""
        hosts = [
            MADE_UP.format(number) if self.room.private else "127.0.0.1"
            for number in range(len(self.engines))
        ]
        ports = [self.wires[each.name].port for each in self.engines]
        return [f"http://{host}:{port}" for host, port in zip(hosts, ports, strict=True)]

    def small(self) -> dict[str, str]:
        """The environment of processes whose files are on the small disk."""
        return {"TMPDIR": str(self.disk)}

    def clocked(self) -> dict[str, str]:
        """The same, for those whose clock can jump too; if it can't be done, without that."""
        library = faketime()
        if library is None:
            return self.small()
        return {
            **self.small(),
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


def faketime() -> Path | None:
    """The library that changes a process's clock; None without it."""
    found = [path for each in _FAKETIME for path in Path("/").glob(each.lstrip("/"))]
    return found[0] if found else None


@contextlib.contextmanager
def stage(room: Room, command: Command, *, seed: int, group: Path | None = None) -> Iterator[Stage]:
    """Redis, two model servers, and a wire before each of them. Raises CannotStart."""
    with tempfile.TemporaryDirectory(prefix="r1-chaos-") as name:
        folder = Path(name)
        keeper = Keeper(folder)
        wires: dict[str, Wire] = {}
        try:
            disk = _disk(room, folder)
            redis = Redis(keeper, disk / "redis")
            engines = [Engine(keeper, f"engine-{number}", command) for number in range(2)]
            for number, (server, port) in enumerate(
                [("redis", redis.port), *((each.name, each.port) for each in engines)]
            ):
                wires[server] = Wire(free_port(), port, seed=seed + number)
            clock = folder / "clock"
            clock.write_text("+0\n", "utf-8")
            name_engines(room, len(engines))
            for each in engines:
                each.wait_ready()
            yield Stage(room, folder, keeper, engines, wires, redis, clock, disk, group)
        finally:
            keeper.close()
            for wire in wires.values():
                wire.close()
            if room.private:
                unmount(str(folder / "disk"))


def name_engines(room: Room, count: int) -> None:
    """Have the made-up names of so many model servers lead to this machine."""
    if room.private:
        lines = [f"127.0.0.1 {MADE_UP.format(number)}\n" for number in range(count)]
        room.hosts.write_text("127.0.0.1 localhost\n" + "".join(lines), "utf-8")


def _disk(room: Room, folder: Path) -> Path:
    """A folder: a disk of 32 MiB in a room of our own."""
    disk = folder / "disk"
    disk.mkdir()
    if room.private:
        mount("tmpfs", str(disk), "tmpfs", 0, "size=32m")
    return disk
