"""Steady traffic while something changes: no error and no lost or doubled token may be seen.

    python -m loadtests.steady --seconds 60
    python -m loadtests.steady -- helm upgrade r1 deploy/helm/r1 --reuse-values --wait

The address is that of OPENAI_BASE_URL and the key that of OPENAI_API_KEY, as `r1 env` prints them,
or --base-url and --key-file. Greedy questions are asked undisturbed first; then some callers ask
them again and again, as long streams and short calls, without any retry of their own, and each
answer must be the undisturbed one to the last character and token. The traffic goes on until the
command after `--` has ended and --after more seconds, or for --seconds; then every answer comes to
its end. Exit status: 0, nothing was wrong; 1, something was; 2, the server did not answer well
while nobody disturbed it; 3, all was well but the command failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from loadtests.steady.report import Report
from loadtests.steady.traffic import Load, Traffic, UnsteadyError
from loadtests.streams import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

_STDERR = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    usual = Load()
    line = argparse.ArgumentParser(
        prog="python -m loadtests.steady",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    line.add_argument("--base-url", default=os.environ.get("OPENAI_BASE_URL"), help="ends in /v1")
    line.add_argument("--key-file", type=Path, help="a file with the API key")
    line.add_argument("--model", default="r1-nano")
    line.add_argument("--seconds", type=float, default=60.0, help="without a command (60)")
    line.add_argument("--before", type=float, default=5.0, help="seconds before the command (5)")
    line.add_argument("--after", type=float, default=10.0, help="seconds behind it (10)")
    line.add_argument("--long", type=int, default=usual.long_callers, help="callers with streams")
    line.add_argument("--short", type=int, default=usual.short_callers, help="with short calls")
    line.add_argument("--tokens", type=int, default=usual.long_tokens, help="of a long stream")
    line.add_argument("--most-calls", type=int, default=usual.most_calls)
    line.add_argument("--timeout", type=float, default=usual.timeout_s, help="seconds a call")
    line.add_argument(
        "--lengths-only",
        action="store_true",
        help="for engines whose greedy text may differ from run to run (most GPU kernels)",
    )
    line.add_argument("--json", type=Path, metavar="FILE", help="every call is written there")
    line.add_argument("command", nargs="*", help="what disturbs, after --")
    return line


def target_of(args: argparse.Namespace) -> Target:
    """Whom to ask. Raises ValueError that says what is missing."""
    if not args.base_url:
        raise ValueError("no address: set OPENAI_BASE_URL or give --base-url")
    if args.key_file is not None:
        key = args.key_file.read_text("utf-8").strip()
    else:
        key = os.environ.get("OPENAI_API_KEY", "")
    if not key:
        raise ValueError("no API key: set OPENAI_API_KEY or give --key-file")
    return Target("steady", args.base_url.rstrip("/"), args.model, key)


async def drive(traffic: Traffic, args: argparse.Namespace) -> int:
    """Learn, then traffic around the command; the command's exit status."""
    await traffic.learn()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Ctrl-C ends the traffic; what was seen until then is reported.
    loop.add_signal_handler(signal.SIGINT, stop.set)
    status = 0
    async with asyncio.TaskGroup() as group:
        group.create_task(traffic.run(stop))
        if args.command:
            await _pause(stop, args.before)
            # What it says goes beside the report, not into it.
            process = await asyncio.create_subprocess_exec(*args.command, stdout=_STDERR)
            status = await process.wait()
            await _pause(stop, args.after)
        else:
            await _pause(stop, args.seconds)
        stop.set()
    loop.remove_signal_handler(signal.SIGINT)
    return status


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def run(argv: Sequence[str] | None = None) -> int:
    """Learn, disturb, report; the exit status."""
    line = parser()
    args = line.parse_args(argv)
    try:
        load = Load(
            long_callers=args.long,
            short_callers=args.short,
            long_tokens=args.tokens,
            most_calls=args.most_calls,
            timeout_s=args.timeout,
            exact=not args.lengths_only,
        )
        traffic = Traffic(target_of(args), load)
    except (ValueError, OSError) as error:
        line.error(str(error))
    try:
        status = await drive(traffic, args)
    except UnsteadyError as error:
        print(f"loadtests.steady: {error}", file=sys.stderr)
        return 2
    report = Report.of(traffic)
    print(report.text())
    if args.json:
        args.json.write_text(json.dumps(report.data(), indent=1) + "\n", "utf-8")
    if not report.good:
        return 1
    return 3 if status else 0


if __name__ == "__main__":
    raise SystemExit(asyncio.run(run()))
