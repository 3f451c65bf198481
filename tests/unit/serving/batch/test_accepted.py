"""Each job against Ray's own schema and stage and vLLM's own argument classes.

They are asked in a process of their own: they take fifteen seconds to import, and warn as they do.
"""

import json
import subprocess
import sys

import pytest

CASES = (
    ("r1-nano", "cpu", "default"),
    ("r1-nano", "cpu", "tp2-ep"),
    ("deepseek-r1", "8xh200", "latency"),
    ("deepseek-r1", "8xh200", "throughput"),
    ("deepseek-r1", "2x8xh100", "two-node"),
    ("deepseek-r1:7b", "8xh200", "default"),
)
ASK = """
import json, sys
from ray.data.llm import vLLMEngineProcessorConfig
from ray.llm._internal.batch.stages import vLLMEngineStage
from serving.batch.processor import Job
from serving.batch.stage import arguments
from serving.batch.worker import answering, processor_config
from serving.catalog import Catalog
from serving.engine.args import engine_arguments
from serving.hardware import Machine

answers = []
for model, hardware, profile in json.load(sys.stdin):
    machine = Machine.load(hardware)
    engine = engine_arguments(Catalog.load().resolve(model), machine, profile, cpus=[0, 1])
    address = "head:6379" if machine.nodes > 1 else None
    job = Job.of(engine, lines=10, engines=None, address=address)
    config = processor_config(job)
    stage = answering(
        vLLMEngineStage(
            fn_constructor_kwargs={
                "model": config.model_source,
                "engine_kwargs": config.engine_kwargs,
                "placement_group_config": config.placement_group_config,
            },
            map_batches_kwargs={"accelerator_type": config.accelerator_type},
        ),
        job.model,
    )
    told = stage.get_dataset_map_batches_kwargs(config.batch_size, "__data")
    made = arguments(config.model_source, told["fn_constructor_kwargs"]["engine_kwargs"])
    answers.append(
        {
            "stage": stage.fn.__name__,
            "gpus": told.get("num_gpus", 0),
            "spread": "ray_remote_args_fn" in told,
            "restarts": told["max_restarts"],
            "model": made.model,
            "tensor": made.tensor_parallel_size,
            "data": made.data_parallel_size,
            "template": made.chat_template,
        }
    )
print("ANSWER" + json.dumps(answers))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ray_and_vllm_take_what_they_are_given() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps(CASES),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(zip(CASES, json.loads(done.stdout.partition("ANSWER")[2]), strict=True))
    assert {answer["stage"] for answer in found.values()} == {"OpenAIStage"}
    assert {answer["restarts"] for answer in found.values()} == {3}
    assert found["r1-nano", "cpu", "default"]["gpus"] == 0
    assert found["r1-nano", "cpu", "tp2-ep"]["tensor"] == 2
    assert found["deepseek-r1:7b", "8xh200", "default"]["gpus"] == 1
    latency = found["deepseek-r1", "8xh200", "latency"]
    assert (latency["gpus"], latency["tensor"], latency["data"]) == (8, 8, 1)
    assert latency["template"].endswith("deepseek_r1_tools.jinja")
    throughput = found["deepseek-r1", "8xh200", "throughput"]
    assert (throughput["gpus"], throughput["tensor"], throughput["data"]) == (8, 1, 8)
    # Over nodes the actor has none itself: Ray's executor places a worker on each.
    two_node = found["deepseek-r1", "2x8xh100", "two-node"]
    assert (two_node["gpus"], two_node["spread"]) == (0, True)
