"""`r1 up`: start the store, Ray, the models and the gateway on this machine."""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from r1.stack.find import add_base_argument
from r1.stack.home import Home
from r1.stack.launch import CantStart, Follower, check, follow_until, make_plan, start_guard
from r1.stack.plan import ServedModel
from r1.stack.ports import PortPlan, plan_ports
from r1.stack.redis_server import NoStore, find_redis_server
from r1.stack.status import StackStatus
from serving.catalog import Catalog
from serving.errors import ServingError

NANO_MODELS = ("r1-nano", "r1-distill-nano")
PARALLEL_MODEL = "r1-nano"
PARALLEL_PROFILE = "tp2-ep"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)
    parser.add_argument(
        "--models",
        default=",".join(NANO_MODELS),
        metavar="ID,ID",
        help="models to serve; the first also answers to deepseek-r1 (default: %(default)s)",
    )
    parser.add_argument("--tp", type=int, default=1, choices=(1, 2), help="ranks of r1-nano")
    parser.add_argument(
        "--ep", action="store_true", help="spread r1-nano's experts over its ranks (with --tp 2)"
    )
    parser.add_argument(
        "--detach", "-d", action="store_true", help="return when all is ready; `r1 down` ends it"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="gateway processes")
    parser.add_argument(
        "--drain-s",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds that running answers get when the stack ends (default: %(default)g)",
    )
    parser.add_argument(
        "--weights-dir",
        type=Path,
        metavar="DIR",
        help="take each model's weights from DIR/<id> instead of those that ship",
    )


def run(arguments: argparse.Namespace) -> int:
    """Start the stack; in the foreground, stay until it ends."""
    try:
        ports = plan_ports(arguments.port_base)
        models = served_models(arguments)
        home = Home.of(ports.base)
        find_redis_server()
        home.create()
        check(home, ports)
        plan = make_plan(
            home,
            ports,
            models,
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


def served_models(arguments: argparse.Namespace) -> tuple[ServedModel, ...]:
    """Return the models to serve, from the command line.

    Raises:
        ValueError: a model can't be served on this machine, or the options contradict each other.
        serving.errors.UnknownModel: no such model.
    """
    if arguments.ep != (arguments.tp == 2):
        raise ValueError("--tp 2 and --ep go together: r1-nano's experts are spread over two ranks")
    catalog = Catalog.load()
    models = []
    for name in dict.fromkeys(arguments.models.split(",")):
        model = catalog.resolve(name.strip())
        if model.weights.path is None:
            raise ValueError(
                f"{model.id} needs GPUs and a download; this local stack serves "
                f"{' and '.join(NANO_MODELS)}"
            )
        weights = None
        folder = model.weights.path
        if arguments.weights_dir is not None:
            folder = arguments.weights_dir.expanduser().resolve() / model.id
            weights = str(folder)
        if not (folder / "config.json").is_file():
            raise ValueError(f"there are no weights of {model.id} in {folder}")
        parallel = arguments.tp == 2 and model.id == PARALLEL_MODEL
        models.append(ServedModel(model.id, weights, PARALLEL_PROFILE if parallel else "default"))
    if arguments.tp == 2 and PARALLEL_MODEL not in (model.id for model in models):
        raise ValueError(f"--tp 2 is for {PARALLEL_MODEL}, which isn't among the models")
    return tuple(models)


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
