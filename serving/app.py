"""The model plane's composition root: `build(args)` is the Serve application of one model.

It is the `import_path` of every application in a serveConfigV2, on a laptop and on Kubernetes.
"""

import os
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serving.catalog import Catalog
from serving.engine.args import EngineArguments, engine_arguments
from serving.engine.profiles import DEFAULT
from serving.engine.scaling import Autoscaling, deployment_options
from serving.errors import ServingError
from serving.hardware import Machine

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
    weights: str | None = None
    """Folder or hub id in place of the catalog's."""
    adapters: dict[str, str] = {}
    """LoRA adapters by name. The place is reserved: none can be served yet."""
    replicas: Annotated[int, Field(ge=1)] | None = None
    autoscaling: Autoscaling | None = None
    longest_answer_s: Annotated[float, Field(gt=0)] = LONGEST_ANSWER_S
    """Queue bound plus output cap times the planned time per token, in seconds."""
    engine: dict[str, Any] = {}
    """vLLM arguments by name that win over the derived ones."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.replicas is not None and self.autoscaling is not None:
            raise ValueError("give replicas or autoscaling, not both")
        if self.adapters:
            raise ValueError("adapters can't be served yet; leave the field out")
        return self


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
    return engine_arguments(
        Catalog.load().resolve(arguments.model),
        machine,
        arguments.profile,
        weights=arguments.weights,
        overrides=arguments.engine,
        cpus=sorted(os.sched_getaffinity(0)) if machine.is_cpu else None,
    )


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
    replicas = 1 if arguments.autoscaling is None else None
    options: dict[str, Any] = {
        "model_loading_config": {
            "model_id": engine.model.id,
            "model_source": engine.source,
        },
        "engine_kwargs": kwargs,
        "accelerator_config": {"kind": "cpu" if engine.machine.is_cpu else "gpu"},
        "deployment_config": deployment_options(
            replicas=arguments.replicas or replicas,
            autoscaling=arguments.autoscaling,
            longest_answer_s=arguments.longest_answer_s,
            max_num_seqs=int(kwargs["max_num_seqs"]),
        ),
        "runtime_env": {"env_vars": {**ambient, **engine.env}},
        # vLLM's own metrics, under its own names, at each replica's /metrics. Ray's wrapper
        # renames them, rebuilds sums from buckets and adds the replica as a label.
        "log_engine_metrics": False,
        # Only for the paths that don't stream directly: 50 ms a batch otherwise.
        "experimental_configs": {"stream_batching_interval_ms": 0},
        "server_cls": f"serving.engine.server:{server}",
    }
    if engine.machine.gpu is not None:
        options["accelerator_type"] = engine.machine.gpu.ray_accelerator_type
    if "HF_HUB_OFFLINE" in options["runtime_env"]["env_vars"]:
        options["callback_config"] = {"callback_class": "serving.engine.server:LocalWeights"}
    return options


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
