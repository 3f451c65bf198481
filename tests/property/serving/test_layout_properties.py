"""Whatever is found, asked for or uneven: layouts keep to the machine, and no row is lost."""

from collections.abc import Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st

from serving.catalog import Catalog, Model
from serving.engine.args import engine_arguments
from serving.engine.data_parallel import gather_uneven, own_rows
from serving.engine.elastic import autoscaling_of, requests_together
from serving.engine.profiles import profiles_for
from serving.errors import DoesNotFit
from serving.hardware import Machine
from serving.hardware.probe import FoundGpu, match

MODELS = [model for model in Catalog.load() if model.weights.path is None]
MACHINES = [machine for machine in map(Machine.load, Machine.ids()) if not machine.is_cpu]
NODES_OF_8 = [m for m in MACHINES if m.nodes == 1 and m.gpus_per_node == 8]


@given(st.sampled_from(NODES_OF_8), st.integers(1, 8), st.floats(0.95, 1.05))
def test_as_many_gpus_are_planned_with_as_were_found(
    shape: Machine, count: int, share: float
) -> None:
    assert shape.gpu is not None
    found = [FoundGpu(shape.gpu.id.replace("-", " "), int(shape.memory_bytes * share))] * count
    machine = match(found, MACHINES)
    assert machine.gpu is not None
    assert machine.gpus == count
    assert machine.gpu.id.split("-")[0] == shape.gpu.id.split("-")[0]


@given(st.sampled_from(MODELS), st.sampled_from(MACHINES), st.integers(0, 4))
def test_engines_and_replicas_keep_to_the_machine(model: Model, machine: Machine, n: int) -> None:
    profiles = profiles_for(model, machine)
    if not profiles:
        return
    try:
        engine = engine_arguments(model, machine, profiles[n % len(profiles)].name)
    except DoesNotFit:
        return
    assert engine.devices <= machine.gpus
    assert 1 <= requests_together(engine) <= engine.kwargs["max_num_seqs"]
    scaling = autoscaling_of(engine)
    assert (scaling is None) == (engine.profile.pace is None)
    if scaling is not None:
        assert scaling.max_replicas * engine.devices <= machine.gpus


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any))
def test_rows_come_back_to_whom_they_belong(sizes: list[int]) -> None:
    pieces = [torch.randn(size, 2) for size in sizes]

    def gather(padded: torch.Tensor) -> Sequence[torch.Tensor]:
        largest = max(sizes)
        assert padded.shape == (largest, 2)
        return [torch.cat([each, torch.zeros(largest - len(each), 2)]) for each in pieces]

    for rank, piece in enumerate(pieces):
        whole = torch.cat(gather_uneven(piece, sizes, gather))
        assert torch.equal(own_rows(whole, sizes, rank), piece)
