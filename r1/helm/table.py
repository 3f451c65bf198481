"""The table that the chart's templates read: rules, and what they count with."""

import json
from typing import Any

from r1.helm.rules import as_rows
from serving.catalog import Build, Catalog, DeepseekV3, Model
from serving.catalog.arithmetic import kv_bytes_per_token
from serving.engine.args import SET_ELSEWHERE
from serving.engine.checks import BALANCED, WHOLE_NUMBERS
from serving.engine.derivation import CONTEXT_STEP, SHORTEST_CONTEXT
from serving.engine.memory import (
    RESERVE_BYTES,
    RESERVE_SHARE,
    TENSOR_RESERVE_SHARE,
    default_utilization,
)
from serving.engine.profiles import Profile, profiles_for
from serving.engine.rules.case import Case
from serving.engine.rules.place import LATENT_WIDTH
from serving.engine.rules.weights import MOE_BACKENDS
from serving.engine.vllm_arguments import VllmArguments
from serving.hardware import Machine
from serving.plan.assess import MOST_MACHINES
from serving.preflight import needs
from serving.preflight.products import chip_of

PROFILE_FIELDS = (
    "name", "build", "tensor", "doubled", "pipeline", "data", "expert", "redundant", "mtp_tokens",
    "max_num_seqs", "step_tokens",
)  # fmt: skip


def as_json() -> str:
    """The table as the file `files/plan.json` of the chart, a line for each of its rows."""
    lines = []
    for name, value in as_table().items():
        if isinstance(value, list):
            rows = ",\n".join(f"  {_line(each)}" for each in value)
            lines.append(f" {_line(name)}: [\n{rows}\n ]")
        elif isinstance(value, dict):
            rows = ",\n".join(f"  {_line(key)}: {_line(each)}" for key, each in value.items())
            lines.append(f" {_line(name)}: {{\n{rows}\n }}")
        else:
            lines.append(f" {_line(name)}: {_line(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def as_table() -> dict[str, Any]:
    """All that the templates need, as plain values."""
    models = list(Catalog.load())
    machines = [Machine.load(each) for each in Machine.ids()]
    profiles = Profiles(machines)
    known = VllmArguments.load()
    return {
        "pod": {
            "base": needs.POD_BASE_BYTES,
            "gpu": needs.POD_BYTES_PER_GPU,
            "cpuBase": needs.CPU_POD_BASE_BYTES,
            "rank": needs.CPU_POD_BYTES_PER_RANK,
            "millicoresOfGpu": int(1000 * needs.CPUS_PER_GPU),
            "millicoresOfRank": int(1000 * needs.CPUS_PER_CPU_RANK),
            "shm": needs.SHM_BYTES,
            "shmAlone": needs.SHM_BYTES_ALONE,
            "mostMachines": MOST_MACHINES,
        },
        "context": {"step": CONTEXT_STEP, "shortest": SHORTEST_CONTEXT},
        "wholeNumbers": list(WHOLE_NUMBERS),
        "setElsewhere": SET_ELSEWHERE,
        "arguments": dict(sorted(known.kinds.items())),
        "hardware": {each.id: _hardware(each) for each in machines},
        "models": {each.id: _model(each, known.version, profiles) for each in models},
        "runsOn": profiles.runs_on,
        "profiles": profiles.sets,
        "rules": as_rows(),
    }


class Profiles:
    """The sets of profiles that there are, and which kind of model has which set on a machine."""

    def __init__(self, machines: list[Machine]) -> None:
        self._machines = machines
        self.sets: list[list[dict[str, Any]]] = []
        self.runs_on: list[dict[str, int]] = []

    def kind(self, model: Model) -> int:
        """The number of a model's kind in `runs_on`: models of a kind have the same profiles."""
        found = {each.id: profiles_for(model, each) for each in self._machines}
        row = {name: self._set(profiles) for name, profiles in found.items() if profiles}
        return _index(self.runs_on, row)

    def _set(self, profiles: tuple[Profile, ...]) -> int:
        return _index(
            self.sets, [{name: getattr(each, name) for name in PROFILE_FIELDS} for each in profiles]
        )


def _index(rows: list[Any], row: Any) -> int:
    if row not in rows:
        rows.append(row)
    return rows.index(row)


def _hardware(machine: Machine) -> dict[str, Any]:
    gpu, link = machine.gpu, machine.link_between_nodes_gb_s
    capability = (0, 0) if gpu is None or gpu.capability is None else gpu.capability
    reserve = RESERVE_BYTES + machine.memory_bytes * RESERVE_SHARE
    return {
        "cpu": machine.is_cpu,
        "gpus": machine.gpus,
        "gpusPerNode": machine.gpus_per_node,
        "memory": machine.memory_bytes,
        "reserve": reserve,
        "reserveOfTensor": reserve
        + (0 if machine.is_cpu else machine.memory_bytes * TENSOR_RESERVE_SHARE),
        "utilization": default_utilization(machine),
        "capability": 10 * capability[0] + capability[1],
        "resource": None if gpu is None else gpu.resource,
        "nodeSelector": {} if gpu is None else gpu.node_selector,
        "chip": None if gpu is None else chip_of(gpu.name),
        "accelerator": None if gpu is None else gpu.ray_accelerator_type,
        "rdma": link is not None and link.value > needs.RDMA_GB_S,
    }


def _model(model: Model, version: str, profiles: Profiles) -> dict[str, Any]:
    a = model.architecture
    sparse = isinstance(a, DeepseekV3)
    return {
        "aliases": list(model.aliases),
        "sparse": sparse,
        "heads": a.num_attention_heads,
        "keyHeads": 1 if isinstance(a, DeepseekV3) else a.num_key_value_heads,
        "layers": a.num_hidden_layers,
        "experts": a.n_routed_experts if isinstance(a, DeepseekV3) else 0,
        "draftLayers": a.num_nextn_predict_layers if isinstance(a, DeepseekV3) else 0,
        "latentShape": isinstance(a, DeepseekV3)
        and (a.kv_lora_rank, a.qk_rope_head_dim) == LATENT_WIDTH,
        "positions": a.max_position_embeddings,
        "served": model.context.served,
        "build": model.weights.id,
        "builds": {
            each.id: _build(model.using(each.id), each, version, profiles) for each in model.builds
        },
    }


def _build(model: Model, build: Build, version: str, profiles: Profiles) -> dict[str, Any]:
    a, size = model.architecture, model.weight_bytes
    case = Case(model, Machine.load("cpu"), {}, str(build.path or build.hub), {}, version)
    wide = 4 if build.format == "float32" else 2
    family = case.family
    widths, routed = _widths(model, build)
    return {
        "kind": profiles.kind(model),
        "total": size.total,
        "withoutDrafts": size.without_mtp,
        "routed": size.routed,
        "draftsRouted": size.mtp_routed,
        "kv": kv_bytes_per_token(a, element_bytes=wide),
        "kvDrafts": kv_bytes_per_token(a, element_bytes=wide, mtp=True),
        "wide": wide,
        "vllm": "vllm" in build.engines,
        "tooNew": case.newer_than(build.least_vllm),
        "family": family,
        "float32": build.format == "float32",
        "balanced": build.format in BALANCED,
        "drafts": build.mtp != "absent",
        "moeBackends": [*sorted(MOE_BACKENDS[family]), "auto"] if family in MOE_BACKENDS else "",
        "group": case.group,
        "widths": widths,
        "routedWidth": routed,
    }


def _widths(model: Model, build: Build) -> tuple[list[int], int]:
    """Columns that tensor parallelism slices where scales are shared; those of routed experts."""
    a = model.architecture
    found: list[int] = []
    if isinstance(a, DeepseekV3):
        if "attention" in build.quantised:
            found.append(a.num_attention_heads * a.v_head_dim)
        if "dense" in build.quantised:
            found += [a.intermediate_size, a.n_shared_experts * a.moe_intermediate_size]
        return found, a.moe_intermediate_size if "routed" in build.quantised else 0
    if "attention" in build.quantised:
        found.append(a.num_attention_heads * a.head_dim)
    if "dense" in build.quantised:
        found.append(a.intermediate_size)
    return found, 0


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
