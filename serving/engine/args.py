"""Engine arguments: what vLLM is started with for one model on one machine."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.catalog.architecture import DeepseekV3
from serving.catalog.model import Model
from serving.engine.checks import check, check_numbers, layout_of
from serving.engine.derivation import Argument, derive
from serving.engine.environment import environment
from serving.engine.profiles import DEFAULT, Profile, profiles_for
from serving.engine.rules import RULES, Case, Finding, judge
from serving.engine.vllm_arguments import VllmArguments
from serving.errors import DoesNotFit, UnknownArgument, UnknownProfile, nearest
from serving.hardware import Machine

SERVER_MODULE = "vllm.entrypoints.launchers.api_server.entry"
SET_ELSEWHERE = {
    "model": "give the weights instead",
    "served_model_name": "the catalog's id is the name",
    "distributed_executor_backend": "it follows from the machine",
}


@dataclass(frozen=True, slots=True)
class EngineArguments:
    """What the engine of one replica, or of one data-parallel group, is started with."""

    model: Model
    machine: Machine
    profile: Profile
    source: str
    """Folder or hub id of the weights."""
    arguments: tuple[Argument, ...]
    env: Mapping[str, str]
    """Environment that the engine's processes need before vLLM is imported."""
    warnings: tuple[Finding, ...] = ()
    """What is known to go wrong with these, though the engine starts."""

    @property
    def kwargs(self) -> dict[str, Any]:
        """Fields of vLLM's AsyncEngineArgs and FrontendArgs by name.

        Without `model` and `served_model_name`: Ray Serve sets these itself and refuses them
        here; take `source` and `model.id`.
        """
        return {each.name: each.value for each in self.arguments}

    @property
    def local_weights(self) -> bool:
        """Whether the weights are a folder, so that no hub is needed."""
        return is_folder(self.source)

    @property
    def devices(self) -> int:
        """Accelerators, or processes on processors, of one engine group."""
        return layout_of(self.kwargs).devices

    @property
    def argv(self) -> list[str]:
        """The same as flags of vLLM's own server, model and served name included."""
        known = VllmArguments.load()
        words = ["--model", self.source, "--served-model-name", self.model.id]
        for each in self.arguments:
            words += known.flags(each.name, each.value)
        return words

    @property
    def command(self) -> str:
        """A shell line that starts vLLM's own server with these arguments and environment."""
        settings = [f"{name}={shlex.quote(value)}" for name, value in self.env.items()]
        return " ".join([*settings, "python", "-m", SERVER_MODULE, shlex.join(self.argv)])


def engine_arguments(
    model: Model,
    machine: Machine,
    profile: str = DEFAULT,
    *,
    build: str | None = None,
    weights: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    cpus: Sequence[int] | None = None,
    extra: Sequence[Argument] = (),
    environ: Mapping[str, str] | None = None,
) -> EngineArguments:
    """Derive the arguments of one engine.

    Args:
        model: from the catalog.
        machine: the shape it runs on.
        profile: a name of `profiles_for`, or `default` for the first of them.
        build: one of the model's builds in place of the profile's.
        weights: folder or hub id in place of the catalog's.
        overrides: vLLM's arguments by name. They win, and what depends on them follows; None
            takes a derived argument out.
        cpus: ids of the processors that the engine may use, to bind several ranks of a CPU engine
            to; None counts from 0.
        extra: arguments for what is served beside the model.
        environ: environment variables that the engine's processes will have beside those that
            are derived here, to be looked at for known mistakes.

    Raises:
        UnknownProfile: the model has no such profile on this machine.
        UnknownBuild: the model has no such build.
        UnknownArgument: an override names no argument of vLLM or one that is set elsewhere.
        DoesNotFit: memory, parallel sizes or lengths contradict each other, or they are known
            not to work together.
    """
    model = model if build is None else model.using(build)
    chosen = _profile(model, machine, profile)
    if build is None and chosen.build is not None:
        model = model.using(chosen.build)
    given = dict(overrides or {})
    known = VllmArguments.load()
    for name, value in given.items():
        if name in SET_ELSEWHERE:
            raise UnknownArgument(f"`{name}` can't be overridden: {SET_ELSEWHERE[name]}")
        known.check(name, value)
    check_numbers(given)
    merged = {each.name: each for each in (*derive(model, machine, chosen, given), *extra)}
    merged |= {name: Argument(name, value, "override") for name, value in given.items()}
    arguments = tuple(each for each in merged.values() if each.value is not None)
    kwargs = {each.name: each.value for each in arguments}
    files = model.weights
    places = (weights, files.path, files.hub, files.ollama)
    place = next(each for each in places if each is not None)
    env = environment(model, machine, kwargs, local_weights=is_folder(place), cpus=cpus)
    case = Case(model, machine, kwargs, str(place), {**(environ or {}), **env}, known.version)
    findings = judge(case, RULES)
    errors = [each.sentence for each in findings if each.severity == "error"]
    if errors:
        raise DoesNotFit("\n".join(errors))
    check(model, machine, kwargs)
    return EngineArguments(model, machine, chosen, str(place), arguments, env, findings)


def is_folder(place: str | Path) -> bool:
    """Whether weights are said to lie in a folder rather than on the hub."""
    return isinstance(place, Path) or place.startswith((".", "~", os.sep))


def _profile(model: Model, machine: Machine, name: str) -> Profile:
    profiles = profiles_for(model, machine)
    if not profiles:
        raise UnknownProfile(_why_none(model, machine))
    for profile in profiles:
        if profile.name == name:
            return profile
    if name == DEFAULT:
        return profiles[0]
    names = [profile.name for profile in profiles]
    raise UnknownProfile(
        f"{model.id} has no profile `{name}` on {machine.id}; {nearest(name, names)}"
    )


def _why_none(model: Model, machine: Machine) -> str:
    if model.weights.path is not None:
        return f"{model.id} is made for the machine `cpu`, not for {machine.id}; take cpu"
    if isinstance(model.architecture, DeepseekV3):
        return (
            f"{model.id} does not run on {machine.id}: its weights need a node of 8 GPUs such as "
            "8xh200, or two nodes such as 2x8xh100; take one of these or a distilled model"
        )
    return f"{model.id} runs on a single node, {machine.id} has {machine.nodes}; take one node"
