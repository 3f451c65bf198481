"""`python -m serving.batch.worker JOB REQUESTS --answers-fd N`: Ray, its engines and the answers.

Reads a job (`serving.batch.processor.Job`) and requests, a line of JSON each. Writes an answer a
line, as each is there: {id, status, answer, ready}; before the first {doing: sentence}, and as the
last one {failed: sentence} where it can't go on. Exits with 0 when all are answered. Whoever starts
it owns the processes that it may leave.
"""

import argparse
import asyncio
import dataclasses
import json
import logging
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from serving import own_ray
from serving.batch.processor import RESTARTS, Job
from serving.errors import ServingError
from serving.local.explain import explain
from serving.weights.cache import NodeCache
from serving.weights.node import fetch_here
from serving.weights.source import OFFLINE, Folder, cache_key, parse

logger = logging.getLogger("serving.batch")

OBJECT_STORE_BYTES = 200_000_000


class TooSmall(ServingError):
    """The Ray cluster has not what the job needs."""


def with_weights(job: Job, say: Callable[[str], None]) -> Job:
    """Have the weights on this machine, in its cache if they come from elsewhere.

    Nodes of a cluster each fetch their own.

    Raises:
        WeightsError: they can't be had, or are damaged.
    """
    where = parse(job.source)
    if job.address is not None:
        return job
    if not isinstance(where, Folder):
        # As long as this process lives nobody drops them from the cache.
        NodeCache.of().hold(cache_key(where))
    here = asyncio.run(fetch_here(job.source, lambda progress: say(progress.sentence())))
    environment = {**job.environment, **OFFLINE}
    return dataclasses.replace(job, source=str(here.folder), environment=environment)


def connect(job: Job, temp_dir: Path) -> None:
    """Start Ray on this machine, or connect to the job's cluster.

    Raises:
        TooSmall: there are fewer GPUs than the job needs, or others.
    """
    import ray

    if job.address is None:
        ray.init(
            num_cpus=own_ray.DECLARED_CPUS,
            num_gpus=None if job.gpus else 0,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            logging_level=logging.WARNING,
            _temp_dir=str(temp_dir),
            _node_ip_address="127.0.0.1",
        )
    else:
        ray.init(address=job.address, logging_level=logging.WARNING)
    where = "this machine" if job.address is None else f"the cluster at {job.address}"
    resources = ray.cluster_resources()
    if resources.get("GPU", 0) < job.gpus:
        found = int(resources.get("GPU", 0))
        raise TooSmall(f"the job needs {job.gpus} GPUs, {where} has {found}")
    kind = job.processor["accelerator_type"]
    if kind is not None and f"accelerator_type:{kind}" not in resources:
        raise TooSmall(f"the job needs GPUs of the type {kind}, {where} has none")


def processor_config(job: Job) -> Any:
    """The configuration of Ray Data's vLLM processor."""
    from ray.data.llm import vLLMEngineProcessorConfig

    return vLLMEngineProcessorConfig(
        model_source=job.source,
        engine_kwargs=dict(job.engine),
        runtime_env={"env_vars": dict(job.environment)},
        # The application does all three, as it does for a request over HTTP.
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
        log_engine_metrics=False,
        **job.processor,
    )


def answering(stage: Any, served: str) -> Any:
    """Ray's engine stage with ours in its place: the same engine, answers of vLLM's application."""
    from serving.batch.stage import OpenAIStage

    return stage.model_copy(
        update={
            "fn": OpenAIStage,
            "fn_constructor_kwargs": {**stage.fn_constructor_kwargs, "served": served},
            "map_batches_kwargs": {**stage.map_batches_kwargs, "max_restarts": RESTARTS},
        }
    )


def answers(job: Job, requests: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
    """Send the requests through Ray Data, and yield their rows as they come back."""
    import ray
    from ray.data.llm import build_processor

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # An engine that does not start would not start the next time either.
    context.max_consecutive_actor_init_deaths = 0
    config = processor_config(job)
    processor = build_processor(config)
    # Requests come as the engine's stage wants them, and its rows are what is needed: each of
    # these two would be a process more.
    processor.preprocess = processor.postprocess = None
    for name, stage in processor.stages.items():
        processor.stages[name] = answering(stage, job.model)
    column = processor.DATA_COLUMN
    rows = ray.data.from_items(
        [{column: request} for request in requests],
        override_num_blocks=math.ceil(len(requests) / config.batch_size),
    )
    # One piece a block, and none fetched ahead: each is handed on as soon as it is there.
    for batch in processor(rows).iter_batches(batch_size=None, prefetch_batches=0):
        yield from batch[column]


def run(job: Job, requests: list[dict[str, str]], temp_dir: Path, stream: TextIO) -> int:
    """Answer the requests into a stream; return the exit status."""
    try:
        job = with_weights(job, lambda sentence: _write(stream, {"doing": sentence}))
        _write(stream, {"doing": "starting the engine"})
        os.environ.update(job.environment)
        connect(job, temp_dir)
        for row in answers(job, requests):
            told = {name: row[name] for name in ("id", "status", "answer", "ready")}
            _write(stream, told)
    except BrokenPipeError:
        # Whoever asked has gone.
        return 1
    except ServingError as error:
        _write(stream, {"failed": str(error)})
        return 1
    except Exception as error:  # whatever Ray raises, the other side gets a sentence
        logger.exception("the batch ended")
        _write(stream, {"failed": explain(f"{type(error).__name__}: {error}")})
        return 1
    return 0


def _write(stream: TextIO, document: dict[str, Any]) -> None:
    stream.write(json.dumps(document) + "\n")
    stream.flush()


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="serving.batch.worker", description=__doc__)
    parser.add_argument("job", type=Path)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--answers-fd", type=int, required=True)
    words = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    os.set_inheritable(words.answers_fd, False)
    job = Job(**json.loads(words.job.read_bytes()))
    with words.requests.open("rb") as lines:
        requests = [json.loads(line) for line in lines]
    temp_dir = Path(tempfile.gettempdir())
    if job.address is None:
        own_ray.write_token(temp_dir)
        own_ray.apply(own_ray.environment(temp_dir))
    with os.fdopen(words.answers_fd, "w", encoding="utf-8") as stream:
        return run(job, requests, temp_dir, stream)


if __name__ == "__main__":
    sys.exit(main())
