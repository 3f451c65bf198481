"""`r1 batch run in.jsonl out.jsonl`: answer a file of requests, without a server."""

import argparse
import functools
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from r1.engine_args import add_engine_arguments, parse_overrides
from r1.stack.keeper import kept, sweep
from r1.stack.launch import temp_folder
from serving.batch.journal import Journal, errors_beside
from serving.batch.processor import Job, usual_profile
from serving.batch.progress import Count, view
from serving.batch.run import Input, Left, Stopped, follow, lines_and_pauses, refuse
from serving.catalog import Catalog
from serving.engine.args import EngineArguments, engine_arguments
from serving.errors import ServingError
from serving.hardware import Machine
from serving.local.explain import root_cause, says_look_above
from serving.weights.source import parse

PAUSE_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    one = actions.add_parser(
        "run",
        help="answer a file of requests",
        description="Answer a file of requests in OpenAI's batch format. The same command goes on "
        "where an earlier one ended, however it ended.",
    )
    one.add_argument("input", type=Path, metavar="IN", help="requests, one a line")
    one.add_argument(
        "output",
        type=Path,
        metavar="OUT",
        help="answers, one a line, in the order of their ends; errors go to OUT's .errors.jsonl",
    )
    one.add_argument("--model", metavar="ID", help="(default: the one that the first line names)")
    add_engine_arguments(one)
    one.add_argument(
        "--profile", metavar="P", help="(default: throughput, where the model has it there)"
    )
    one.add_argument(
        "--weights", metavar="W", help="folder, hub id or s3:// address instead of the catalog's"
    )
    one.add_argument(
        "--engines", type=int, metavar="N", help="engines (default: as many as the machine holds)"
    )
    one.add_argument(
        "--ray-address", metavar="A", help="use a running Ray cluster instead of a new one"
    )


def run(args: argparse.Namespace) -> int:
    """Run a batch.

    Returns 0 when every line is done, 1 when the run ended early, 2 when nothing was started, 130
    after Ctrl-C.
    """
    try:
        source = Input(args.input, Catalog.load(), args.model)
        if args.output.exists() and args.output.samefile(args.input):
            raise ServingError("the output is the input; name another output")
        engine = _engine(args, source)
        total = source.check()
        # Whether it fits is said before anything is written.
        _job(args, engine, total)
        with Journal(args.output, time.monotonic) as journal:
            return _go_on(args, source, engine, journal, Count(total, before=len(journal.done)))
    except ServingError as error:
        print(f"r1 batch: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"r1 batch: {error.filename or args.output}: {error.strerror}", file=sys.stderr)
        return 2


def _engine(args: argparse.Namespace, source: Input) -> EngineArguments:
    machine = Machine.load(args.hardware)
    if args.weights is not None:
        parse(args.weights)
    engine = engine_arguments(
        source.model,
        machine,
        args.profile or usual_profile(source.model, machine),
        build=args.build,
        weights=args.weights,
        overrides=parse_overrides(args.overrides),
        cpus=sorted(os.sched_getaffinity(0)) if machine.is_cpu else None,
        environ=os.environ,
    )
    for each in engine.warnings:
        print(f"r1 batch: warning ({each.rule}): {each.sentence}", file=sys.stderr)
    return engine


def _job(args: argparse.Namespace, engine: EngineArguments, lines: int) -> Job:
    return Job.of(engine, lines=lines, engines=args.engines, address=args.ray_address)


def marker(output: Path) -> str:
    """A name for the processes and folders of one output's runs, the same for each of them."""
    return hashlib.sha256(str(output.resolve()).encode()).hexdigest()[:16]


def _go_on(
    args: argparse.Namespace, source: Input, engine: EngineArguments, journal: Journal, count: Count
) -> int:
    temp_dir = Path(temp_folder())
    # This run has the output's lock: what has its marker is an earlier run's, and must be gone
    # before there is memory for another engine.
    sweep(marker(args.output), temp_dir.parent)
    requests = temp_dir / "requests.jsonl"
    log = args.output.with_name(f"{args.output.stem}.log")
    try:
        with requests.open("w", encoding="utf-8") as stream:
            left = source.left(journal, stream)
        journal.cut()
        job = temp_dir / "job.json"
        job.write_text(json.dumps(_job(args, engine, len(left.asked)).document()))
        worker = functools.partial(worker_command, job, requests)
        ended = _ask(worker, left, journal, count, temp_dir, log)
    finally:
        shutil.rmtree(temp_dir, ignore_errors=True)
    if ended is None:
        log.unlink(missing_ok=True)
        print(_summary(args.output, count))
        return 0
    print(
        f"r1 batch: {ended or 'interrupted'}\n{count.before + count.now} of {count.total} lines "
        f"are done; the same command goes on with the other {len(left.asked)}",
        file=sys.stderr,
    )
    return 1 if ended else 130


def worker_command(job: Path, requests: Path, answers: int) -> list[str]:
    """The command of the worker; `answers` is the file descriptor that it writes to."""
    words = [sys.executable, "-m", "serving.batch.worker", str(job), str(requests)]
    return [*words, "--answers-fd", str(answers)]


def _ask(
    worker: Callable[[int], list[str]],
    left: Left,
    journal: Journal,
    count: Count,
    temp_dir: Path,
    log: Path,
) -> str | None:
    """Do what is left; return None at the last line, else why it ended, empty for Ctrl-C."""
    shown = view(sys.stderr, count.total)
    try:
        refuse(left, journal, count)
        if left.asked:
            mark = marker(journal.output)
            with kept(worker, temp_dir=temp_dir, log=log, marker=mark) as answers:
                told = _until_told_to_end(lines_and_pauses(answers, PAUSE_S))
                follow(told, left, journal, count, shown, time.time)
    except Stopped as error:
        reason = str(error)
        if says_look_above(reason):
            reason = root_cause(log.read_text(errors="replace")) or reason
        return f"{reason} (log: {log})"
    except OSError as error:
        return f"{error.filename or journal.output}: {error.strerror}"
    except KeyboardInterrupt:
        return ""
    finally:
        shown.close()
    return None


def _until_told_to_end(told: Iterator[bytes | None]) -> Iterator[bytes | None]:
    """The same lines; after Ctrl-C or SIGTERM the end, between two of them.

    Raises:
        KeyboardInterrupt: it was told to end.
    """
    stop = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal stop
        stop = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    for line in told:
        if stop:
            raise KeyboardInterrupt
        yield line


def _summary(output: Path, count: Count) -> str:
    now = time.time()
    lines = [
        f"{count.total} lines are done: {count.before} earlier and {count.now} now, "
        f"{count.errors} of these with an error"
    ]
    if count.began is not None:
        lines.append(
            f"{count.prompt_tokens:,} prompt tokens and {count.completion_tokens:,} generated in "
            f"{count.seconds(now):,.1f} s: {count.rate(now):,.0f} tokens/s"
        )
    beside = errors_beside(output)
    lines.append(f"{output}" + (f" and {beside}" if beside.exists() else ""))
    return "\n".join(lines)
