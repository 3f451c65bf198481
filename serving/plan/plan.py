"""A plan: what to run, what it needs, what it will do and cost, and what else was looked at."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from serving.catalog.model import Model
from serving.engine.args import EngineArguments, engine_arguments
from serving.engine.derivation import derive
from serving.engine.profiles import DEFAULT, profiles_for
from serving.errors import DoesNotFit, ServingError
from serving.hardware import Machine
from serving.plan.assess import Assessment, assess
from serving.plan.calibration import BANDS, CALIBRATED
from serving.plan.candidates import candidate_of, candidates
from serving.plan.choose import Lost, choose, machines, without_twins
from serving.plan.load import Load
from serving.plan.outlook import outlook
from serving.plan.published import Kind
from serving.plan.targets import Target

SHORTEST_CONTEXT = 8192
"""Below this a reasoning model rarely reaches its answer."""
QUEUE_BOUND_S = 60.0
"""The gateway's usual bound on the wait for a place; part of the longest answer's time."""
HEADROOM = 0.8
"""Share of the requests within the targets that the autoscaler aims at: the rest is for the time
until another replica is ready."""
SHOWN = 8
"""Reasons that a refusal lists."""
GROWTH = 2
"""Replicas at most, over those that the planned load needs."""


@dataclass(frozen=True)
class Plan:
    """One way to serve a load, with its figures."""

    model: Model
    machine: Machine
    load: Load
    targets: tuple[Target, ...]
    best: Assessment
    profile: str
    engine: EngineArguments | None
    """None where another engine than vLLM serves."""
    window: float
    """Requests in flight at one replica up to which the targets are kept."""
    lost: tuple[Lost, ...]
    described: str | None = None
    """The machine's file, where it is no shipped one."""

    @property
    def machines(self) -> int:
        """Machines of the shape that the replicas take."""
        return machines(self.best, self.machine)

    @property
    def tokens_per_s(self) -> float:
        """Output tokens of all replicas."""
        seen = self.best.outlook
        return 0.0 if seen is None else seen.tokens_per_s * self.best.replicas

    @property
    def usd_per_million_tokens(self) -> float | None:
        """Cost of a million output tokens, prompts included; None without a price."""
        price = self.machine.usd_per_hour
        if price is None or not self.tokens_per_s:
            return None
        return price.value * self.machines / (self.tokens_per_s * 3600) * 1e6

    @property
    def longest_answer_s(self) -> float:
        """Seconds that the longest answer may take: its wait, and its tokens at a busy moment."""
        seen = self.best.outlook
        if seen is None:
            return QUEUE_BOUND_S
        per_token = seen.itl_s(0.99) / seen.state.group.tokens_per_step
        return QUEUE_BOUND_S + self.model.context.longest_answer * per_token

    @property
    def autoscaling(self) -> dict[str, Any]:
        """Bounds and aim, as `serving.app` takes them."""
        return {
            "min_replicas": 1,
            "max_replicas": GROWTH * self.best.replicas,
            "target_ongoing_requests": max(1.0, round(HEADROOM * self.window, 1)),
        }

    @property
    def arguments(self) -> dict[str, Any]:
        """What `serving.app.parse` takes."""
        candidate = self.best.candidate
        given: dict[str, Any] = {
            "model": self.model.id,
            "hardware": self.described or self.machine.id,
            "profile": self.profile,
        }
        usual = None if self.engine is None else self.engine.profile.build
        if candidate.build != (usual or self.model.weights.id):
            given["build"] = candidate.build
        if self.best.replicas > 1 or candidate.layout.data == 1:
            given["autoscaling"] = self.autoscaling
        else:
            given["replicas"] = self.best.replicas
        given["longest_answer_s"] = round(self.longest_answer_s, 1)
        given["engine"] = _overrides(self.model, self.machine, self.profile, self.best)
        return given

    @property
    def close(self) -> str | None:
        """The target that is met, but by less than predictions may be off; None without one."""
        seen = self.best.outlook
        if seen is None or not self.best.met:
            return None
        for target in self.targets:
            worst = target.reached(seen) * (
                1 + self.band["TTFT" if target.metric == "ttft" else "decode"]
            )
            if worst > target.limit_s:
                return f"{target}: up to {worst * 1e3:,.0f} ms are within the error of predictions"
        return None

    @property
    def band(self) -> Mapping[Kind, float]:
        """Relative error that predictions may have, by kind."""
        return BANDS


def make_plan(
    model: Model,
    machine: Machine,
    load: Load,
    targets: tuple[Target, ...] = (),
    *,
    context: int | None = None,
    build: str | None = None,
    profile: str | None = None,
    fp8_cache: bool = False,
    described: str | None = None,
) -> Plan:
    """The best way to serve a load with a model on machines of a shape.

    Args:
        model: from the catalog.
        machine: the shape.
        load: of the whole deployment.
        targets: what users are owed.
        context: tokens of prompt and answer that a request may have; None for what the load's
            longest requests need.
        build: only this one of the model's.
        profile: only as this one serves, with the context that it has room for.
        fp8_cache: an FP8 KV cache may be chosen.
        described: the machine's file, where it is no shipped one.

    Raises:
        DoesNotFit: nothing fits; the message says what comes nearest and why it does not.
        ServingError: there is no such profile or build.
    """
    if profile is not None:
        return _as_profile(
            model,
            machine,
            load,
            targets,
            profile,
            context=context,
            build=build,
            described=described,
        )
    wanted = context or _context(load)
    _within_reach(model, wanted)
    ways = [
        assess(each, model, machine, load, targets, CALIBRATED, wanted)
        for each in candidates(model, machine, fp8_cache=fp8_cache)
        if build is None or each.build == build
    ]
    engines: dict[str, EngineArguments] = {}

    def accept(way: Assessment) -> str | None:
        if way.candidate.engine != "vllm":
            return None
        try:
            engines[way.candidate.name] = _engine(model, machine, way)
        except ServingError as error:
            return str(error).splitlines()[0]
        return None

    best, lost = choose(ways, model, machine, accept)
    if best is None:
        raise DoesNotFit(_nothing(model, machine, lost))
    return Plan(
        model,
        machine,
        load,
        targets,
        best,
        profile_for(model, machine, best),
        engines.get(best.candidate.name),
        _window(best, load, targets),
        tuple(lost),
        described,
    )


def _as_profile(
    model: Model,
    machine: Machine,
    load: Load,
    targets: tuple[Target, ...],
    profile: str,
    *,
    context: int | None,
    build: str | None,
    described: str | None,
) -> Plan:
    """The plan that takes a profile as it is, however it does."""
    overrides = {} if context is None else {"max_model_len": context}
    engine = engine_arguments(model, machine, profile, build=build, overrides=overrides)
    served = int(engine.kwargs["max_model_len"])
    way = assess(candidate_of(engine), model, machine, load, targets, CALIBRATED, served)
    if way.refused is not None:
        raise DoesNotFit(f"{model.id} on {machine.id}, profile {profile}: {way.refused}")
    best = replace(way, context=served)
    window = _window(best, load, targets)
    name = engine.profile.name
    return Plan(model, machine, load, targets, best, name, engine, window, (), described)


def profile_for(model: Model, machine: Machine, way: Assessment) -> str:
    """The profile that is nearest to a way of serving; overrides make up the rest."""
    layout = way.candidate.layout
    if way.candidate.engine != "vllm":
        return DEFAULT
    for profile in profiles_for(model, machine):
        same = (profile.pipeline, profile.data, profile.expert) == (
            layout.pipeline,
            layout.data,
            layout.expert,
        )
        fitting = profile.tensor in {None, layout.tensor}
        if same and fitting and profile.build in {None, way.candidate.build}:
            return profile.name
    return DEFAULT


def _engine(model: Model, machine: Machine, way: Assessment) -> EngineArguments:
    build, profile = way.candidate.build, profile_for(model, machine, way)
    overrides = _overrides(model, machine, profile, way)
    return engine_arguments(model, machine, profile, build=build, overrides=overrides)


def _overrides(model: Model, machine: Machine, name: str, way: Assessment) -> dict[str, Any]:
    """Those of a way's arguments that its profile does not give by itself."""
    wanted = {"max_model_len": way.context, **way.candidate.overrides}
    usual: dict[str, Any] = {}
    for profile in profiles_for(model, machine):
        if profile.name == name:
            built = model.using(way.candidate.build)
            usual = {each.name: each.value for each in derive(built, machine, profile, {})}
    return {key: value for key, value in wanted.items() if usual.get(key) != value}


def _context(load: Load) -> int:
    longest = load.prompt.quantile(0.99) + load.answer.quantile(0.99)
    return max(SHORTEST_CONTEXT, -(-int(longest) // 1024) * 1024)


def _within_reach(model: Model, context: int) -> None:
    positions = model.architecture.max_position_embeddings
    if context > positions:
        raise DoesNotFit(
            f"{model.id} knows {positions:,} positions, a context of {context:,} tokens is asked "
            "for; lower --context, or shorten prompts and answers"
        )


def _window(best: Assessment, load: Load, targets: tuple[Target, ...]) -> float:
    """The most requests in flight at one replica that keep the targets."""
    group = best.group
    if group is None:
        return 1.0
    most = group.most_sequences(load.context) * group.layout.data

    def kept(users: float) -> bool:
        seen = outlook(group, replace(load, users=users, requests_per_s=None))
        return seen is not None and all(each.excess(seen) <= 1 for each in targets)

    if kept(most):
        return most
    low, high = 1.0, most
    while high - low > max(0.5, 0.02 * low):
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) else (low, middle)
    return low


def _nothing(model: Model, machine: Machine, lost: list[Lost]) -> str:
    shown = without_twins(lost, SHOWN)
    reasons = [f"  {each.name}: {each.why}" for each in shown]
    return "\n".join([f"{model.id} does not fit on {machine.id} ({machine.title})", *reasons])
