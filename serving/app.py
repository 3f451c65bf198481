"""The model plane's composition root: `build(args)` is the Serve application of one model.

It is the `import_path` of every application in a serveConfigV2, on a laptop and on Kubernetes.
"""

import logging
import os
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serving.catalog import Catalog
from serving.engine.adapters import ADAPTERS, adapter_arguments, adapter_ranks
from serving.engine.args import EngineArguments, engine_arguments
from serving.engine.elastic import autoscaling_of, target_of
from serving.engine.kv_parity import Report, check_cache
from serving.engine.memory import Layout, weight_bytes_per_rank
from serving.engine.profiles import DEFAULT
from serving.engine.progress import STALL_S
from serving.engine.scaling import Autoscaling, deployment_options
from serving.errors import ServingError
from serving.hardware import Machine
from serving.weights.source import OFFLINE
from serving.weights.source import parse as parse_source

# 32k tokens at a loaded 164 ms a token: the longest answer of the largest model.
LONGEST_ANSWER_S = 5400.0


class InvalidArguments(ServingError):
    """An application's arguments are wrong; the message has a line for each field."""


class ApplicationArguments(BaseModel):
    """What a deployment says about one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1)]
    """Id or alias in the catalog."""
    hardware: Annotated[str, Field(min_length=1)]
    """Id of a machine shape."""
    profile: str = DEFAULT
    build: str | None = None
    """One of the model's builds in place of the profile's."""
    weights: str | None = None
    """Folder, hub id or s3:// address in place of the catalog's (serving/weights/source.py)."""
    adapters: dict[str, str] = {}
    """Folders of LoRA adapters by name; each is a model of its own, on the same replicas."""
    max_adapters: Annotated[int, Field(ge=0)] | None = None
    """Adapters that a replica may have loaded at once, those loaded at run time included; as many
    as `adapters` has when not given."""
    any_gpu: bool = False
    """Take any GPU of the cluster instead of asking for the machine's kind by name: for a Ray on
    one machine, or GPUs that Ray has no name for."""
    pool: str | None = None
    """Resource of which the model's own Ray nodes have one a rank, so that each model keeps to its
    nodes; None runs it wherever there is room."""
    replicas: Annotated[int, Field(ge=1)] | None = None
    autoscaling: Autoscaling | None = None
    longest_answer_s: Annotated[float, Field(gt=0)] = LONGEST_ANSWER_S
    """Queue bound plus output cap times the planned time per token, in seconds."""
    surge_percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Replicas that an upgrade may start before it stops others, in percent of all; where no
    machine is free for them the upgrade waits."""
    stall_s: Annotated[float, Field(gt=0)] = STALL_S
    """Seconds without a step after which an engine that has requests counts as hanging."""
    engine: dict[str, Any] = {}
    """vLLM arguments by name that win over the derived ones."""
    kv_parity: str | None = None
    """Report of `serving.engine.kv_parity`; where it passes, the KV cache has 8 bits."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.replicas is not None and self.autoscaling is not None:
            raise ValueError("give replicas or autoscaling, not both")
        if self.max_adapters is not None and self.max_adapters < len(self.adapters):
            raise ValueError(
                f"max_adapters is {self.max_adapters}, but adapters has {len(self.adapters)}; "
                "raise it"
            )
        return self

    @property
    def adapter_room(self) -> int:
        """Adapters that a replica has room for."""
        return len(self.adapters) if self.max_adapters is None else self.max_adapters


def parse(args: dict[str, Any]) -> ApplicationArguments:
    """Check the arguments of an application.

    Raises:
        InvalidArguments: a field is missing, unknown or wrong; the message names each of them.
    """
    try:
        return ApplicationArguments.model_validate(args)
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in each['loc']) or 'arguments'}: {each['msg']}"
            for each in error.errors(include_url=False)
        ]
        raise InvalidArguments("the application's arguments are wrong\n" + "\n".join(lines)) from (
            error
        )


def derive(arguments: ApplicationArguments) -> EngineArguments:
    """Look the model and the machine up and derive the engine's arguments.

    Raises:
        ServingError: no such model, machine, profile or argument, or they don't fit together.
    """
    machine = Machine.load(arguments.hardware)
    if arguments.weights is not None:
        parse_source(arguments.weights)
    model = Catalog.load().resolve(arguments.model)
    ranks = adapter_ranks(arguments.adapters)

    def engine(overrides: dict[str, Any]) -> EngineArguments:
        return engine_arguments(
            model,
            machine,
            arguments.profile,
            build=arguments.build,
            weights=arguments.weights,
            overrides=overrides,
            cpus=sorted(os.sched_getaffinity(0)) if machine.is_cpu else None,
            environ=os.environ,
            extra=adapter_arguments(model, ranks, arguments.adapter_room),
        )

    found = engine(arguments.engine)
    if arguments.kv_parity is None:
        check_cache(found.kwargs)
        return found
    cache = Report.load(arguments.kv_parity).admit(found.model.id, found.source)
    return engine({**arguments.engine, "kv_cache_dtype": cache})


def llm_options(
    arguments: ApplicationArguments, engine: EngineArguments, ambient: dict[str, str]
) -> dict[str, Any]:
    """Return the fields of Ray Serve LLM's LLMConfig: plain data, so that it can be looked at.

    Args:
        ambient: environment that the application was given beside its arguments; the engine's
            own wins.
    """
    kwargs = engine.kwargs
    parallel = int(kwargs.get("data_parallel_size", 1)) > 1
    server = "DataParallelServer" if parallel else "ModelServer"
    # Where a deployment says nothing, the profile's pace decides; without one there is one replica.
    scaling = arguments.autoscaling
    if scaling is None and arguments.replicas is None:
        scaling = autoscaling_of(engine)
    options: dict[str, Any] = {
        "model_loading_config": {
            "model_id": engine.model.id,
            # The callback puts a folder in its place; Ray would fetch from S3 by itself.
            "model_source": engine.model.id if "://" in engine.source else engine.source,
        },
        "engine_kwargs": kwargs,
        "accelerator_config": {"kind": "cpu" if engine.machine.is_cpu else "gpu"},
        "deployment_config": deployment_options(
            replicas=arguments.replicas or (1 if scaling is None else None),
            autoscaling=None if scaling is None else scaling.aiming_at(target_of(engine)),
            longest_answer_s=arguments.longest_answer_s,
            max_num_seqs=int(kwargs["max_num_seqs"]),
            surge_percent=arguments.surge_percent,
        ),
        # The engine loads a folder, whatever the source was: it has no business with the hub.
        "runtime_env": {"env_vars": {**ambient, **engine.env, **OFFLINE}},
        "callback_config": {
            "callback_class": "serving.engine.weights:NodeWeights",
            "callback_kwargs": {
                "source": engine.source,
                "weight_bytes": weight_bytes_per_rank(engine.model, Layout()),
                "gpu": not engine.machine.is_cpu,
            },
        },
        # vLLM's own metrics, under its own names, at each replica's /metrics. Ray's wrapper
        # renames them, rebuilds sums from buckets and adds the replica as a label.
        "log_engine_metrics": False,
        "experimental_configs": {
            # Only for the paths that don't stream directly: 50 ms a batch otherwise.
            "stream_batching_interval_ms": 0,
            # Ray's place for what it does not know itself.
            "stall_s": arguments.stall_s,
            "weights": engine.source,
        },
        "server_cls": f"serving.engine.server:{server}",
    }
    if arguments.adapter_room:
        options["experimental_configs"][ADAPTERS] = arguments.adapters
    bundle = rank_bundle(arguments, engine.machine)
    if len(bundle) > 1:
        options["placement_group_config"] = {"bundle_per_worker": bundle}
    return options


def rank_bundle(arguments: ApplicationArguments, machine: Machine) -> dict[str, float]:
    """What one rank of the engine asks of a Ray node."""
    bundle: dict[str, float] = {"CPU" if machine.is_cpu else "GPU": 1}
    if machine.gpu is not None and not arguments.any_gpu:
        # By the label that Ray gives to nodes. The field `accelerator_type` knows fewer GPUs than
        # Ray does, and takes an A10 for an A10G.
        bundle[f"accelerator_type:{machine.gpu.ray_accelerator_type}"] = 0.001
    if arguments.pool is not None:
        bundle[arguments.pool] = 1
    return bundle


def build(args: dict[str, Any]) -> Any:
    """Return the Serve application of one model, with direct streaming.

    The application is the model server's deployment alone: HAProxy balances over its replicas
    itself (least connections) and reaches vLLM's application in them without another hop.

    Args:
        args: the fields of `ApplicationArguments`.

    Raises:
        ServingError: the arguments are wrong or don't fit together; the message says where.
    """
    arguments = parse(args)
    engine = derive(arguments)
    for each in engine.warnings:
        logging.getLogger(__name__).warning("%s: %s", each.rule, each.sentence)
    # Imported here: they bring in Ray and the engine, which a look at the arguments doesn't need.
    import ray
    from ray import serve
    from ray.llm._internal.serve.core.server.builder import build_llm_deployment
    from ray.serve.llm import LLMConfig

    ambient: dict[str, str] = {}
    if ray.is_initialized():
        ambient = dict(ray.get_runtime_context().runtime_env.get("env_vars", {}))
    config = LLMConfig(**llm_options(arguments, engine, ambient))
    return build_llm_deployment(config, deployment_cls=serve.ingress()(config.server_cls))
