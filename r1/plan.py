"""`r1 plan`: what hardware a load needs, how to use it, and what users will see."""

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import yaml

from r1.helm.text import as_text
from r1.plan_tables import print_plan
from serving.catalog import Catalog, Model
from serving.errors import DoesNotFit, ServingError
from serving.hardware import Machine
from serving.plan.assess import Assessment, assess
from serving.plan.calibrate import print_table
from serving.plan.calibration import CALIBRATED
from serving.plan.candidates import candidates
from serving.plan.load import PROMPT, REASONING, Lengths, Load
from serving.plan.pareto import Point, curve, draw
from serving.plan.plan import Plan, make_plan
from serving.plan.report import as_document, serve_config
from serving.plan.targets import Metric, Target

CHEAPEST = "cheapest"
EXAMPLE = "deepseek-r1-distill-qwen-7b@1xl40s"
TOO_LARGE = 64
"""GPUs of a shape that "cheapest" no longer tries."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "model", nargs="?", help=f"id or alias, or `{CHEAPEST}` for the cheapest that fits"
    )
    parser.add_argument(
        "--hardware", default="8xh200", metavar="ID", help=f"a machine shape, or `{CHEAPEST}`"
    )
    load = parser.add_mutually_exclusive_group()
    load.add_argument("--users", type=float, metavar="N", help="requests in flight at once")
    load.add_argument("--rps", type=float, metavar="R", help="requests a second, at random")
    parser.add_argument("--prompt-tokens", default=None, metavar="MEAN[±SPREAD]", help=_LENGTHS)
    parser.add_argument("--answer-tokens", default=None, metavar="MEAN[±SPREAD]", help=_LENGTHS)
    parser.add_argument(
        "--prefix-hits", type=float, default=0.0, metavar="SHARE", help="of prompt tokens, 0 to 1"
    )
    for metric, unit, text in (
        ("ttft", "ms", "time to first token"),
        ("itl", "ms", "time between tokens"),
        ("e2e", "s", "whole answer"),
    ):
        parser.add_argument(
            f"--{metric}-{unit}",
            action="append",
            default=[],
            metavar="[pNN=]LIMIT",
            help=f"{text}: of p99 unless a percentile is given (p50=300); repeat it",
        )
    parser.add_argument("--context", type=int, metavar="TOKENS", help="of one request, at most")
    parser.add_argument("--build", metavar="ID", help="only this build of the weights")
    parser.add_argument(
        "--profile", metavar="NAME", help="only as this profile serves, such as latency"
    )
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="MODEL@HARDWARE[/PROFILE]",
        help="with --helm: another model of the release, for the same load; repeat it",
    )
    parser.add_argument(
        "--fp8-kv", action="store_true", help="an FP8 KV cache may be used (check answers first)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON instead of tables")
    form.add_argument(
        "--serve-config", action="store_true", help="print Ray Serve's configuration (YAML)"
    )
    form.add_argument(
        "--helm", action="store_true", help="print values of the chart deploy/helm/r1"
    )
    form.add_argument(
        "--calibration", action="store_true", help="print predicted against published figures"
    )
    parser.add_argument("--plot", type=Path, metavar="F", help="write a plot to F.png or F.svg")


_LENGTHS = "tokens, lognormal: mean, and deviation of the logarithm, such as 1000±0.8"


def run(arguments: argparse.Namespace) -> int:
    """Print a plan; 1 if nothing fits, 2 if something fits but misses a target."""
    if arguments.calibration:
        return print_table()
    try:
        if arguments.model is None:
            raise ValueError("name a model, such as deepseek-r1")
        plan = find(arguments)
        if arguments.beside and not arguments.helm:
            raise ValueError("--beside: several models are for --helm; plan them one by one else")
        if arguments.plot is not None:
            plot(plan, arguments.plot)
        if arguments.serve_config:
            print(yaml.safe_dump(serve_config(plan), sort_keys=False, allow_unicode=True), end="")
        elif arguments.helm:
            print(as_text([plan, *beside(arguments)], shlex.join(["r1", *arguments.words])), end="")
        elif arguments.json:
            print(json.dumps(as_document(plan), indent=2))
        else:
            print_plan(plan)
    except DoesNotFit as error:
        if arguments.json:
            print(json.dumps({"fits": False, "why": str(error)}, indent=2))
        else:
            print(f"r1 plan: {error}", file=sys.stderr)
        return 1
    except (ServingError, ValueError, ImportError) as error:
        print(f"r1 plan: {error}", file=sys.stderr)
        return 1
    return 0 if plan.best.met else 2


def find(arguments: argparse.Namespace) -> Plan:
    """The plan that is asked for; of several, the cheapest that meets the targets.

    Raises:
        DoesNotFit: nothing fits.
        ServingError: an unknown name.
        ValueError: an argument is wrong.
    """
    load, targets = load_of(arguments), tuple(targets_of(arguments))
    models, machines = list(_models(arguments.model)), list(_machines(arguments.hardware))
    plans, refusals = [], []
    for model in models:
        for machine in machines:
            try:
                plans.append(
                    make_plan(
                        model,
                        machine,
                        load,
                        targets,
                        context=arguments.context,
                        build=arguments.build,
                        profile=arguments.profile,
                        fp8_cache=arguments.fp8_kv,
                        described=_file(arguments.hardware),
                    )
                )
            except DoesNotFit as error:
                refusals.append(str(error))
    if not plans:
        several = len(refusals) > 1
        raise DoesNotFit("nothing fits" if several else refusals[0])
    return min(plans, key=_costs)


def beside(arguments: argparse.Namespace) -> Iterator[Plan]:
    """The plan of each model that is named by --beside: the same load on its own hardware.

    Raises:
        DoesNotFit: one does not fit there.
        ServingError: an unknown name.
        ValueError: one is not MODEL@HARDWARE.
    """
    for text in arguments.beside:
        model, _, place = text.partition("@")
        hardware, _, profile = place.partition("/")
        if not model or not hardware:
            raise ValueError(f"--beside {text}: write MODEL@HARDWARE, such as {EXAMPLE}")
        own = {"model": model, "hardware": hardware, "profile": profile or None, "build": None}
        yield find(argparse.Namespace(**(vars(arguments) | own)))


def _file(hardware: str) -> str | None:
    return hardware if Path(hardware).suffix in {".yaml", ".yml"} else None


def _costs(plan: Plan) -> tuple[bool, float, float]:
    cost = plan.usd_per_million_tokens
    return (not plan.best.met, float("inf") if cost is None else cost, plan.best.gpus)


def _models(name: str) -> Iterator[Model]:
    catalog = Catalog.load()
    if name == CHEAPEST:
        yield from (each for each in catalog if each.weights.path is None)
    else:
        yield catalog.resolve(name)


def _machines(name: str) -> Iterator[Machine]:
    if name == CHEAPEST:
        shapes = (Machine.load(each) for each in Machine.ids())
        yield from (each for each in shapes if each.usd_per_hour and each.gpus < TOO_LARGE)
    else:
        yield Machine.load(name)


def load_of(arguments: argparse.Namespace) -> Load:
    """The load that the arguments describe; ten users where none are.

    Raises:
        ValueError: a number is wrong.
    """
    users = arguments.users
    if users is None and arguments.rps is None:
        users = 10.0
    return Load(
        users,
        arguments.rps,
        _lengths(arguments.prompt_tokens, PROMPT, "--prompt-tokens"),
        _lengths(arguments.answer_tokens, REASONING, "--answer-tokens"),
        arguments.prefix_hits,
    )


def _lengths(text: str | None, usual: Lengths, name: str) -> Lengths:
    if text is None:
        return usual
    mean, _, spread = text.replace("+-", "±").partition("±")
    try:
        return Lengths(float(mean), float(spread or 0.0))
    except ValueError:
        raise ValueError(f"{name} {text}: give a mean, or mean±spread such as 1000±0.8") from None


def targets_of(arguments: argparse.Namespace) -> Iterator[Target]:
    """The targets that the arguments name.

    Raises:
        ValueError: one is not a number, or its percentile is none.
    """
    given: tuple[tuple[Metric, list[str], float], ...] = (
        ("ttft", arguments.ttft_ms, 1e-3),
        ("itl", arguments.itl_ms, 1e-3),
        ("e2e", arguments.e2e_s, 1.0),
    )
    for metric, texts, scale in given:
        for text in texts:
            percentile, _, limit = text.rpartition("=")
            try:
                share = float((percentile or "p99").lstrip("p")) / 100
                target = Target(metric, float(limit) * scale, share)
            except ValueError:
                raise ValueError(f"--{metric}: {text} is no limit; give 500 or p50=300") from None
            if not 0 < share < 1 or target.limit_s <= 0:
                raise ValueError(f"--{metric}: {text}: give a percentile from 0 to 100 and a time")
            yield target


def plot(plan: Plan, path: Path) -> None:
    """Write the plot of tokens/s a user over tokens/s a GPU.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: the file's ending is no format.
    """
    curves = [curve(way, plan.load) for way in _fastest(plan)]
    seen = plan.best.outlook
    chosen = None
    if seen is not None:
        gpus = plan.best.candidate.layout.devices
        chosen = Point("", 0, seen.tokens_per_s_per_user, seen.tokens_per_s / gpus)
    draw(curves, f"{plan.model.title} on {plan.machine.title}", path, chosen)


def _fastest(plan: Plan) -> Iterator[Assessment]:
    """The ways of the chosen build that fit."""
    wanted = plan.best.context
    load = replace(plan.load, users=1.0, requests_per_s=None)
    for each in candidates(plan.model, plan.machine):
        if each.build == plan.best.candidate.build:
            way = assess(each, plan.model, plan.machine, load, (), CALIBRATED, min(wanted, 8192))
            if way.refused is None:
                yield way
