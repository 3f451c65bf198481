"""`r1 doctor`: check a machine or a cluster before anything is started there."""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from r1.stack.choice import NANO_MODELS, write_machine
from r1.stack.ports import plan_ports
from serving.catalog import Catalog
from serving.errors import InvalidDocument, ServingError
from serving.hardware import Machine
from serving.hardware.probe import find_gpus, match
from serving.preflight.cluster_client import Client
from serving.preflight.cluster_probe import ClusterProbe
from serving.preflight.deployment import GPU_TAINTS, Deployment, Toleration
from serving.preflight.examine import examine_cluster, examine_machine
from serving.preflight.finding import BLIND, Finding, Report, Severity
from serving.preflight.host_probe import look

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
EPILOG = (
    "Exit status: 0 all well; 1 warnings, with --strict; 2 errors, so that the deployment would "
    "not start; 3 it could not be looked."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EPILOG
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="what is to be served (default: the nano models)"
    )
    parser.add_argument(
        "--file",
        "-f",
        type=Path,
        help="a deployment, a serveConfigV2 or values of the chart as YAML, instead of MODEL",
    )
    parser.add_argument(
        "--hardware",
        metavar="H",
        help="machine shape such as 8xh200, or a YAML file of your own (default: the GPUs found)",
    )
    parser.add_argument("--profile", metavar="P", help="for instance latency")
    parser.add_argument("--build", metavar="B", help="weights, for instance awq or nvfp4")
    parser.add_argument("--replicas", type=int, metavar="N", help="engines of each model")
    parser.add_argument("--weights", metavar="W", help="folder or hub id instead of the catalog's")
    parser.add_argument(
        "--accept-licence", action="append", metavar="NAME", help="terms that you have accepted"
    )
    parser.add_argument("--port-base", type=int, metavar="N", help="of the local stack")
    parser.add_argument("--json", action="store_true", help="print all findings as JSON")
    parser.add_argument("--verbose", "-v", action="store_true", help="print what is well, too")
    parser.add_argument("--strict", action="store_true", help="warnings end with status 1")
    cluster = parser.add_argument_group("on a cluster")
    cluster.add_argument(
        "--cluster", action="store_true", help="look at the cluster of KUBECONFIG, not this machine"
    )
    cluster.add_argument("--kubeconfig", metavar="FILE", help="instead of $KUBECONFIG")
    cluster.add_argument("--context", metavar="NAME", help="instead of the current one")
    cluster.add_argument("--namespace", "-n", metavar="NAME", help="(default: r1)")
    cluster.add_argument(
        "--runtime",
        choices=("plain", "kuberay"),
        help="the chart's: without an operator, or a RayService (default: plain)",
    )
    cluster.add_argument("--image", metavar="REF", help="the engine's image")
    cluster.add_argument(
        "--pull",
        type=float,
        default=0.0,
        metavar="S",
        help="try to pull the image with a pod of its own, for at most S seconds",
    )
    cluster.add_argument("--pull-secret", metavar="NAME", help="secret for pulling the image")
    cluster.add_argument("--hub-token-secret", metavar="NAME", help="secret for gated weights")
    cluster.add_argument("--storage-class", metavar="NAME", help="of the weights' claim")
    cluster.add_argument(
        "--weights-on", choices=("claim", "node"), help="where the weights lie (default: claim)"
    )
    cluster.add_argument("--runtime-class", metavar="NAME", help="of the engine's pods")
    cluster.add_argument(
        "--toleration",
        action="append",
        default=[],
        metavar="KEY[=VALUE][:EFFECT]",
        help="a taint that engines bear, beside those of GPUs; may be repeated",
    )


def run(arguments: argparse.Namespace) -> int:
    """Look, print what was found, and return the exit status."""
    try:
        with tempfile.TemporaryDirectory(prefix="r1-doctor-") as scratch:
            report = _report(arguments, Path(scratch))
    except (ServingError, ValueError) as error:
        print(f"r1 doctor: {error}", file=sys.stderr)
        return BLIND
    if arguments.json:
        print(json.dumps(report.document(strict=arguments.strict), indent=1))
    else:
        print(as_text(report, verbose=arguments.verbose))
    return report.exit_status(strict=arguments.strict)


def _report(arguments: argparse.Namespace, scratch: Path) -> Report:
    deployment = deployment_of(arguments, scratch)
    if _asks_cluster(arguments):
        return _on_cluster(arguments, deployment)
    return examine_machine(deployment, platform.node(), lambda asked: look(asked, os.environ))


def _asks_cluster(arguments: argparse.Namespace) -> bool:
    return bool(arguments.cluster or arguments.kubeconfig or arguments.context)


def _on_cluster(arguments: argparse.Namespace, deployment: Deployment) -> Report:
    client = Client.connect(arguments.kubeconfig, arguments.context)
    try:
        return examine_cluster(
            deployment,
            client.name,
            lambda asked: ClusterProbe(client, deployment, asked, pull_for_s=arguments.pull).look(),
        )
    finally:
        client.close()


def deployment_of(arguments: argparse.Namespace, scratch: Path) -> Deployment:
    """The deployment that file and options describe; options win.

    Args:
        arguments: of the command.
        scratch: a folder for the description of a machine that is none of the shipped shapes.

    Raises:
        ServingError: the file is wrong, or a port base is.
        ValueError: options contradict each other or have wrong values.
    """
    given: dict[str, Any]
    if arguments.file is not None:
        flags = ("models", "hardware", "profile", "build", "replicas", "weights")
        if any(getattr(arguments, each) for each in flags):
            raise InvalidDocument(
                "--file says what is served: leave MODEL, --hardware, --profile, --build, "
                "--replicas and --weights out"
            )
        given = Deployment.load(arguments.file).model_dump()
    else:
        given = {"models": _models(arguments, scratch)}
    simple = ("namespace", "image", "pull_secret", "hub_token_secret", "runtime", "runtime_class")
    given |= {each: getattr(arguments, each) for each in simple if getattr(arguments, each)}
    storage = {"storage_class": arguments.storage_class, "place": arguments.weights_on}
    given["storage"] = {
        **given.get("storage", {}),
        **{name: value for name, value in storage.items() if value is not None},
    }
    if arguments.accept_licence:
        given["accepted_licences"] = tuple(arguments.accept_licence)
    if arguments.toleration:
        mine = tuple(toleration(each).model_dump() for each in arguments.toleration)
        usual = tuple(each.model_dump() for each in GPU_TAINTS)
        given["tolerations"] = (*given.get("tolerations", usual), *mine)
    if not given.get("ports"):
        ports = plan_ports(arguments.port_base) if arguments.port_base else plan_ports()
        given["ports"] = ports.single_ports()
    return Deployment.model_validate(given)


def _models(arguments: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    options = ("profile", "build", "replicas", "weights")
    said = {each: getattr(arguments, each) for each in options}
    given = {name: value for name, value in said.items() if value is not None}
    catalog = Catalog.load()
    models = [catalog.resolve(each) for each in arguments.models or NANO_MODELS]
    shipped = [each for each in models if each.weights.path is not None]
    hardware = arguments.hardware
    if hardware is None and len(shipped) < len(models):
        hardware = _hardware_here(arguments, scratch)
    return [
        {
            "model": each.id,
            "hardware": (arguments.hardware or "cpu") if each in shipped else hardware,
            **given,
        }
        for each in models
    ]


def _hardware_here(arguments: argparse.Namespace, scratch: Path) -> str:
    """The shape that this machine's GPUs make, as `r1 up` takes it."""
    if _asks_cluster(arguments):
        raise InvalidDocument("--hardware: give the machine shape of the cluster's GPU nodes")
    found = find_gpus()
    if not found:
        return "cpu"
    machine = match(found, map(Machine.load, Machine.ids()))
    if machine.id in Machine.ids() and Machine.load(machine.id) == machine:
        return machine.id
    path = scratch / "machine.yaml"
    write_machine(machine, path)
    return str(path)


def toleration(text: str) -> Toleration:
    """A toleration from `KEY[=VALUE][:EFFECT]`, as taints are written.

    Raises:
        ValueError: it has no key or an effect that there isn't.
    """
    rest, _, effect = text.partition(":")
    key, equals, value = rest.partition("=")
    if not key or (effect and effect not in EFFECTS):
        raise ValueError(
            f"--toleration {text}: write KEY, KEY=VALUE or KEY=VALUE:EFFECT with an effect of "
            f"{', '.join(EFFECTS)}"
        )
    return Toleration.model_validate(
        {
            "key": key,
            "operator": "Equal" if equals else "Exists",
            "value": value,
            "effect": effect or None,
        }
    )


def as_text(report: Report, *, verbose: bool) -> str:
    """The report for a terminal: a line a finding, the worst first, and a line to mend it."""
    lines = [f"{report.kind} {report.target}"]
    for each in report.findings:
        if verbose or each.severity is not Severity.OK:
            lines += _lines(each)
    counts = ", ".join(f"{report.count(each)} {each.value}" for each in Severity)
    return "\n".join([*lines, counts])


def _lines(finding: Finding) -> list[str]:
    about = f"{finding.subject}: " if finding.subject else ""
    lines = [f"{finding.severity.value:<8} {finding.id:<18} {about}{finding.found}"]
    if finding.mend:
        lines.append(f"{'':<8} {'':<18} → {finding.mend}")
    return lines
