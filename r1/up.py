"""`r1 up`: start the store, Ray, the models and the gateway on this machine."""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from r1.stack.adapters import ROOM, find_adapter, with_adapters
from r1.stack.choice import NANO_MODELS, choose, on_one_node, write_machine
from r1.stack.dry_run import dry_run
from r1.stack.find import add_base_argument
from r1.stack.home import Home
from r1.stack.launch import CantStart, Follower, check, follow_until, make_plan, start_guard
from r1.stack.ports import PortPlan, plan_ports
from r1.stack.redis_server import NoStore, find_redis_server
from r1.stack.replicas import bounds, spread
from r1.stack.status import StackStatus
from serving.engine.profiles import DEFAULT
from serving.errors import ServingError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    parser.add_argument(
        "model",
        nargs="*",
        metavar="MODEL",
        help="models to serve, for instance deepseek-r1:32b; the first also answers to deepseek-r1 "
        f"(default: {' '.join(NANO_MODELS)})",
    )
    parser.add_argument("--models", metavar="ID,ID", help="the same as one word with commas")
    parser.add_argument(
        "--hardware",
        metavar="H",
        help="machine shape such as 8xh200, or a YAML file of your own (default: the GPUs found)",
    )
    parser.add_argument(
        "--profile",
        default=DEFAULT,
        metavar="P",
        help="how models on GPUs are laid out, for instance throughput (default: %(default)s)",
    )
    parser.add_argument(
        "--build",
        metavar="B",
        help="weights of models on GPUs, for instance awq or nvfp4 (default: the profile's)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="print the engines' arguments, ask vLLM whether it takes them, and start nothing",
    )
    parser.add_argument("--tp", type=int, default=1, choices=(1, 2), help="ranks of r1-nano")
    parser.add_argument("--dp", type=int, default=1, choices=(1, 2), help="engines of r1-nano")
    parser.add_argument(
        "--ep",
        action="store_true",
        help="spread r1-nano's experts over its ranks (with --tp 2 or --dp 2)",
    )
    parser.add_argument(
        "--detach", "-d", action="store_true", help="return when all is ready; `r1 down` ends it"
    )
    parser.add_argument(
        "--replicas",
        type=bounds,
        default=(1, 1),
        metavar="N|MIN-MAX",
        help="replicas of each model; MIN-MAX follows the load, MIN may be 0 (default: 1)",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="gateway processes")
    parser.add_argument(
        "--drain-s",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds that running answers get when the stack ends (default: %(default)g)",
    )
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--weights-dir",
        type=Path,
        metavar="DIR",
        help="take each model's weights from DIR/<id> instead of the hub or those that ship",
    )
    places.add_argument(
        "--offline-folder",
        type=Path,
        metavar="F",
        help="without a network: take each model's weights from F/<id> or F/<hub id>",
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME[=DIR]",
        dest="adapters",
        help="serve a LoRA adapter as a model of its own; without DIR one that ships, for instance "
        "r1-distill-nano-hex; may be repeated",
    )
    parser.add_argument(
        "--max-adapters",
        type=int,
        metavar="N",
        help="adapters that a distilled model may have at once, those that `r1 adapters` loads "
        f"included (default: {ROOM} if there is any --adapter, else 0)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Start the stack; in the foreground, stay until it ends."""
    try:
        ports = plan_ports(arguments.port_base)
        home = Home.of(ports.base)
        chosen = choose(arguments)
        if arguments.check:
            return dry_run(chosen)
        on_one_node(chosen)
        find_redis_server()
        home.create()
        check(home, ports)
        models = with_adapters(
            [each.served(home.machine) for each in chosen],
            [find_adapter(word) for word in arguments.adapters],
            arguments.max_adapters,
        )
        for each in chosen:
            if not each.shipped_machine:
                write_machine(each.engine.machine, home.machine)
        plan = make_plan(
            home,
            ports,
            spread(models, arguments.replicas),
            detach=arguments.detach,
            gateway_workers=arguments.workers,
            drain_s=arguments.drain_s,
        )
    except (CantStart, NoStore, ServingError, ValueError) as error:
        print(f"r1 up: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"r1 up: {error.filename or home.path}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"starting {', '.join(model.id for model in models)} (state: {home.path})", flush=True)
    return _watch(home, ports, plan.stack_id, detach=arguments.detach)


def _watch(home: Home, ports: PortPlan, stack_id: str, *, detach: bool) -> int:
    guard = start_guard(home)
    asked = False

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        guard.terminate()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    follower = Follower(home.progress, _write)
    status = follow_until(home, guard, stack_id, follower, lambda now: now.state == "ready")
    if status is not None and status.state == "ready":
        _write(how_to_use(status, ports, home))
        if detach:
            return 0
        status = follow_until(home, guard, stack_id, follower, lambda now: False)
    if status is None:
        print(f"r1 up: the stack didn't start; see {home.log('supervisor')}", file=sys.stderr)
        return 1
    if status.state == "failed" or not asked:
        print(f"r1 up: {status.message or 'the stack ended'}", file=sys.stderr)
        print(f"logs: {home.logs}, or `r1 logs`", file=sys.stderr)
        return 1
    return 0


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def how_to_use(status: StackStatus, ports: PortPlan, home: Home) -> str:
    """Return the lines that tell a user how to call the running stack."""
    key = home.user_key.read_text()
    shown = key if status.key_created else "$OPENAI_API_KEY"
    option = (
        ""
        if os.environ.get("R1_PORT_BASE") or ports.base == 8080
        else (f" --port-base {ports.base}")
    )
    lines = [
        "",
        f"ready after {status.ready_after_s} s: {', '.join(status.models)}",
        "",
        f'  eval "$(r1 env{option})"    # sets OPENAI_BASE_URL and OPENAI_API_KEY, or by hand:',
        f"  export OPENAI_BASE_URL=http://127.0.0.1:{ports.api}/v1",
    ]
    if status.key_created:
        lines += [f"  export OPENAI_API_KEY={key}", "  (this new key is shown this once)"]
    lines += [
        "",
        f'  r1 chat{option} "What is 4821 + 379?"',
        f"  curl http://127.0.0.1:{ports.api}/v1/chat/completions \\",
        f'    -H "Authorization: Bearer {shown}" -H "Content-Type: application/json" \\',
        '    -d \'{"model": "deepseek-r1", "messages": '
        '[{"role": "user", "content": "What is 4821 + 379?"}]}\'',
        "",
        f"  metrics: http://127.0.0.1:{ports.admin}/metrics    `r1 status{option}` shows the parts,"
        f" `r1 down{option}` ends it",
        "",
    ]
    return "\n".join(lines)
