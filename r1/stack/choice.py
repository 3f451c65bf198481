"""What a stack serves, on what and from where: the words of `r1 up` become engine arguments."""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from r1.stack.plan import ServedModel
from serving.catalog import Catalog
from serving.catalog.model import Model
from serving.engine.args import EngineArguments, engine_arguments
from serving.engine.profiles import DEFAULT
from serving.hardware import Machine
from serving.hardware.probe import FoundGpu, find_gpus, match

NANO_MODELS = ("r1-nano", "r1-distill-nano")
PARALLEL_MODEL = "r1-nano"
PARALLEL_PROFILES = {(2, 1): "tp2-ep", (1, 2): "dp2-ep"}
"""Profiles of r1-nano by ranks of tensor and of data parallelism."""


@dataclass(frozen=True)
class Choice:
    """One model of the stack with what its engines are started with."""

    engine: EngineArguments
    weights: str | None
    """Folder or hub id in place of the catalog's."""
    build: str | None = None
    """One of the model's builds in place of its profile's."""

    @property
    def shipped_machine(self) -> bool:
        """Whether its machine is one of the shipped shapes."""
        machine = self.engine.machine
        return machine.id in Machine.ids() and Machine.load(machine.id) == machine

    @property
    def gpus(self) -> int:
        """GPUs that one engine, or one group of data-parallel engines, takes."""
        return 0 if self.engine.machine.is_cpu else self.engine.devices

    def served(self, machine_file: Path) -> ServedModel:
        """What the stack's plan remembers of it.

        Args:
            machine_file: describes the machine where it is none of the shipped shapes.
        """
        return ServedModel(
            id=self.engine.model.id,
            weights=self.weights,
            profile=self.engine.profile.name,
            build=self.build,
            hardware=self.engine.machine.id if self.shipped_machine else str(machine_file),
            gpus=self.engine.machine.gpus,
            context=int(self.engine.kwargs["max_model_len"]),
            local=self.engine.local_weights,
        )


def choose(
    arguments: argparse.Namespace, find: Callable[[], Sequence[FoundGpu]] = find_gpus
) -> list[Choice]:
    """The models of a command line with their engines' arguments.

    Args:
        arguments: of `r1 up`.
        find: lists this machine's GPUs; asked only where a model needs one and no shape is given.

    Raises:
        ValueError: the options contradict each other, weights are missing, or the models together
            need more GPUs than there are.
        ServingError: no such model, machine or profile, or a model does not fit the machine.
    """
    parallel = _parallel_profile(arguments)
    catalog = Catalog.load()
    models = [catalog.resolve(name.strip()) for name in _names(arguments)]
    models = list({model.id: model for model in models}.values())
    if parallel is not None and PARALLEL_MODEL not in (model.id for model in models):
        raise ValueError(f"--ep is for {PARALLEL_MODEL}, which isn't among the models")
    machine = _machine(arguments, models, find)
    chosen = []
    for model in models:
        if _ships(model):
            profile = parallel if model.id == PARALLEL_MODEL else None
            chosen.append(_choice(arguments, model, Machine.load("cpu"), profile or DEFAULT, None))
        else:
            chosen.append(_choice(arguments, model, machine, arguments.profile, arguments.build))
    _share(chosen, machine, replicas=max(1, arguments.replicas[0]))
    return chosen


def _names(arguments: argparse.Namespace) -> Sequence[str]:
    if arguments.model and arguments.models:
        raise ValueError("name the models as words or with --models, not both")
    if arguments.models:
        return str(arguments.models).split(",")
    return arguments.model or NANO_MODELS


def _parallel_profile(arguments: argparse.Namespace) -> str | None:
    ranks = (arguments.tp, arguments.dp)
    profile = PARALLEL_PROFILES.get(ranks)
    if arguments.ep != (profile is not None) or (profile is None and ranks != (1, 1)):
        raise ValueError(
            "--ep goes together with one of --tp 2 and --dp 2: r1-nano's experts are spread over "
            "two ranks; other models are laid out by --profile"
        )
    return profile


def _ships(model: Model) -> bool:
    return model.weights.path is not None


def _machine(
    arguments: argparse.Namespace,
    models: Sequence[Model],
    find: Callable[[], Sequence[FoundGpu]],
) -> Machine:
    if arguments.hardware is not None:
        return Machine.load(arguments.hardware)
    found = [] if all(map(_ships, models)) else find()
    if found:
        return match(found, map(Machine.load, Machine.ids()))
    return Machine.load("cpu")


def _weights(arguments: argparse.Namespace, model: Model) -> str | None:
    """The folder that the options name; None leaves the catalog's place.

    Raises:
        ValueError: there are no weights in it.
    """
    if arguments.offline_folder is not None:
        root = arguments.offline_folder.expanduser().resolve()
        places = [root / name for name in (model.id, model.weights.hub) if name is not None]
    elif arguments.weights_dir is not None:
        places = [arguments.weights_dir.expanduser().resolve() / model.id]
    elif model.weights.path is not None:
        places = [model.weights.path]
    else:
        return None
    for place in places:
        if (place / "config.json").is_file():
            return None if place == model.weights.path else str(place)
    raise ValueError(
        f"there are no weights of {model.id} in {' or '.join(map(str, places))}: put the files of "
        "the model there, config.json among them"
    )


def _choice(
    arguments: argparse.Namespace, model: Model, machine: Machine, profile: str, build: str | None
) -> Choice:
    cpus = sorted(os.sched_getaffinity(0)) if machine.is_cpu else None
    engine = engine_arguments(model, machine, profile, build=build, cpus=cpus)
    # Which files are looked for depends on the build, and that on the profile.
    weights = _weights(arguments, engine.model)
    if weights is not None:
        engine = engine_arguments(model, machine, profile, build=build, weights=weights, cpus=cpus)
    return Choice(engine, weights, build)


def _share(chosen: Sequence[Choice], machine: Machine, *, replicas: int) -> None:
    needed = sum(replicas * each.gpus for each in chosen)
    if needed > machine.gpus:
        times = f" × {replicas}" * (replicas > 1)
        parts = [f"{each.engine.model.id} {each.gpus}{times}" for each in chosen if each.gpus]
        raise ValueError(
            f"the models need {needed} GPUs together ({', '.join(parts)}), but {machine.id} has "
            f"{machine.gpus}; leave one out, ask for fewer --replicas, or choose a --profile that "
            "takes fewer"
        )


def on_one_node(chosen: Sequence[Choice]) -> None:
    """Refuse what this machine alone can't run.

    Raises:
        ValueError: a model is laid out over several nodes.
    """
    for machine in (each.engine.machine for each in chosen):
        if machine.nodes > 1:
            raise ValueError(
                f"{machine.id} has {machine.nodes} nodes, and this stack runs on one; deploy it on "
                "a cluster, or add --check to see what its engines are started with"
            )


def write_machine(machine: Machine, path: Path) -> None:
    """Describe a machine in a YAML file that `Machine.load` reads."""
    document: dict[str, Any] = machine.model_dump(mode="json", exclude_none=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
