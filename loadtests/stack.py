"""The whole local stack against vLLM's own server on the same model, in one run.

    python -m loadtests.stack

Starts `r1 up` and, beside it, vLLM's own server with the arguments that `r1 engine-args` prints;
takes the time until ready and the idle memory; then runs loadtests.side_by_side on both, and ends
both. Needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import psutil

from loadtests import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_START_LIMIT_S = 300


def r1_command(*words: str, state: str) -> str:
    """Output of a command of r1. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, "-m", "r1", *words],
        env={**os.environ, "R1_STATE_DIR": state},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


@contextlib.contextmanager
def whole_stack(base: int, state: str, *words: str) -> Iterator[dict[str, Any]]:
    """The stack of `r1 up` with further words; its status."""
    r1_command("up", "--detach", "--port-base", str(base), *words, state=state)
    try:
        status: dict[str, Any] = json.loads(
            r1_command("status", "--json", "--port-base", str(base), state=state)
        )
        yield status
    finally:
        r1_command("down", "--now", "--port-base", str(base), state=state)


@contextlib.contextmanager
def bare_engine(model: str, port: int, *overrides: str) -> Iterator[int]:
    """vLLM's own server with the same arguments, but for `NAME=VALUE` ones; its process id."""
    changed = [word for each in overrides for word in ("--set", each)]
    told = subprocess.run(
        [sys.executable, "-m", "r1", "engine-args", model, "--hardware", "cpu", "--json", *changed],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    derived = json.loads(told.stdout)
    module = "vllm.entrypoints.launchers.api_server.entry"
    address = ["--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        [sys.executable, "-m", module, *derived["argv"], *address],
        env={**os.environ, **derived["environment"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_healthy(f"http://127.0.0.1:{port}/health", server)
        yield server.pid
    finally:
        children = psutil.Process(server.pid).children(recursive=True)
        server.terminate()
        server.wait(60)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def wait_healthy(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until a server that is starting answers 200. Raises RuntimeError if it ends or never does."""
    began = time.monotonic()
    while True:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode} while starting")
        if time.monotonic() - began > _START_LIMIT_S:
            raise RuntimeError(f"{url} did not answer within {_START_LIMIT_S} s")
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
        except OSError:
            time.sleep(0.5)
        else:
            return


def memory_gib(pid: int) -> float:
    """Proportional memory of a process and all below it, in GiB."""
    root = psutil.Process(pid)
    total = 0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_full_info().pss
    return total / 2**30


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="r1-nano")
    parser.add_argument("--port-base", type=int, default=12000)
    parser.add_argument("--users", default="1,4,16")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args(argv)
    bare_port = args.port_base + 90
    with tempfile.TemporaryDirectory() as state, whole_stack(args.port_base, state) as status:
        print(f"ready after {status['ready_after_s']} s", flush=True)
        print(f"idle memory, whole stack: {memory_gib(status['guard_pid']):.2f} GiB")
        key = r1_command("env", "--port-base", str(args.port_base), state=state)
        os.environ["R1_BENCH_KEY"] = key.rpartition("=")[2].strip().strip("'")
        with bare_engine(args.model, bare_port) as pid:
            print(f"idle memory, vLLM's server alone: {memory_gib(pid):.2f} GiB", flush=True)
            return side_by_side.main(
                [
                    "--target", f"bare=http://127.0.0.1:{bare_port}/v1,{args.model}",
                    "--target",
                    f"r1=http://127.0.0.1:{status['ports']['api']}/v1,{args.model},env:R1_BENCH_KEY",
                    "--users", args.users,
                    "--rounds", str(args.rounds),
                ]
            )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
