"""Whether this vLLM takes engine arguments for an accelerator, asked before anything is started.

`python -m serving.engine.acceptance < questions.json` parses each question's command line with
vLLM's own parser and builds vLLM's whole configuration from it (model, parallelism, quantisation,
cache, scheduler, drafts), as its server would, on a stand-in for the accelerator. It takes some
ten seconds, nearly all for importing vLLM, so many questions go into one process.
"""

import contextlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serving.catalog.builds import PACKAGE
from serving.engine.args import EngineArguments
from serving.engine.checkpoint import config_of
from serving.engine.stand_in import Device, StandIns, device_of
from serving.errors import ServingError
from serving.weights.source import OFFLINE

_MARK = "ANSWERS "
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
TOKENIZER = PACKAGE / "nano" / "weights" / "r1-nano"
"""Stands for that of a checkpoint that is not here; the checks look at none of its words."""
LIMIT_S = 600.0


class NoAnswer(ServingError):
    """vLLM could not be asked."""


@dataclass(frozen=True, slots=True)
class Question:
    """One engine's arguments and what they are meant for."""

    argv: list[str]
    """Command line of vLLM's server."""
    kwargs: dict[str, Any]
    """The same as fields of AsyncEngineArgs and FrontendArgs."""
    config: dict[str, Any]
    """The checkpoint's config.json; not needed where `--model` is a folder that has one."""
    tokenizer: str
    """A folder with a tokenizer, in place of the checkpoint's where that is not here."""
    device: Device
    data_rank: int | None = None
    """Rank of a data-parallel group, as Ray gives it to each engine."""


def question_of(engine: EngineArguments) -> Question:
    """What to ask about an engine's arguments: whether they suit its own machine."""
    grouped = int(engine.kwargs.get("data_parallel_size", 1)) > 1
    return Question(
        argv=engine.argv,
        kwargs=engine.kwargs,
        config=config_of(engine.model),
        tokenizer=str(TOKENIZER),
        device=device_of(engine.machine),
        data_rank=0 if grouped else None,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What vLLM made of a question."""

    error: str | None
    """Why it refused, in its own words; None where it took all."""
    parsed: dict[str, Any]
    """What its parser read for the names in `kwargs`."""
    settled: dict[str, Any]
    """A few values of the whole configuration, after vLLM's own defaults and checks."""


def ask(questions: Sequence[Question], *, limit_s: float = LIMIT_S) -> list[Answer]:
    """Put the questions to vLLM in a process of their own, and return its answers in order.

    Raises:
        NoAnswer: vLLM is not installed, or its process failed or took longer than `limit_s`.
    """
    environment = {
        **os.environ,
        **OFFLINE,
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    try:
        # vLLM leaves temporary files of its parallel workers behind: in a folder that goes with it.
        with tempfile.TemporaryDirectory(prefix="r1-") as folder:
            done = subprocess.run(
                [sys.executable, "-m", "serving.engine.acceptance"],
                input=json.dumps([asdict(each) for each in questions]),
                capture_output=True,
                text=True,
                env=environment | {"TMPDIR": folder},
                timeout=limit_s,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer(f"vLLM did not answer within {limit_s:.0f} s; try again") from error
    for line in done.stdout.splitlines():
        if line.startswith(_MARK):
            return [Answer(**each) for each in json.loads(line.removeprefix(_MARK))]
    last = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
    raise NoAnswer(
        f"vLLM can't be asked: {last[0]}; install the model plane (r1[serving] and r1[cpu] or "
        "r1[gpu]) or leave --check out"
    )


def _answer(question: Question, parser: Any) -> Answer:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import validate_parsed_serve_args
    from vllm.usage.usage_lib import UsageContext

    parsed: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            words = _with_model(question, Path(folder))
            found = parser.parse_args(words)
            validate_parsed_serve_args(found)
            parsed = {name: getattr(found, name) for name in question.kwargs}
            engine = AsyncEngineArgs.from_cli_args(found)
            # What Ray Serve adds to what it is given.
            if question.device.kind != "cpu":
                engine.distributed_executor_backend = "ray"
            if question.data_rank is not None:
                engine.data_parallel_rank = question.data_rank
                engine.data_parallel_address = "127.0.0.1"
            config = engine.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)
        except SystemExit:
            return Answer("its parser refuses the command line", parsed, {})
        except Exception as error:  # noqa: BLE001 - whatever vLLM raises is its answer
            return Answer(_first_sentence(error), parsed, {})
    return Answer(None, parsed, _settled(config))


def _with_model(question: Question, folder: Path) -> list[str]:
    words = list(question.argv)
    place = words.index("--model") + 1
    if (Path(words[place]).expanduser() / "config.json").is_file():
        return words
    (folder / "config.json").write_text(json.dumps(question.config))
    for name in _TOKENIZER:
        shutil.copy(Path(question.tokenizer) / name, folder)
    words[place] = str(folder)
    return words


def _first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # pydantic puts its own header before what a validator said.
    said = [line for line in lines if line.startswith(("Value error", "Assertion failed"))]
    text = (said or lines or [type(error).__name__])[0]
    return text.removeprefix("Value error, ").partition(" [type=")[0]


def _settled(config: Any) -> dict[str, Any]:
    parallel, drafts = config.parallel_config, config.speculative_config
    return {
        "max_model_len": config.model_config.max_model_len,
        "quantization": config.model_config.quantization,
        "tensor": parallel.tensor_parallel_size,
        "pipeline": parallel.pipeline_parallel_size,
        "data": parallel.data_parallel_size,
        "experts": parallel.enable_expert_parallel,
        "redundant_experts": parallel.eplb_config.num_redundant_experts,
        "drafts": 0 if drafts is None else drafts.num_speculative_tokens,
        "kv_cache_dtype": config.cache_config.cache_dtype,
        "max_num_seqs": config.scheduler_config.max_num_seqs,
        "worker": parallel.worker_cls,
    }


def main() -> int:
    """Answer the questions on standard input."""
    asked: Iterable[dict[str, Any]] = json.load(sys.stdin)
    questions = [
        Question(**{**each, "device": Device(**_tupled(each["device"]))}) for each in asked
    ]
    # vLLM and what it imports write to both streams.
    with contextlib.redirect_stdout(sys.stderr):
        logging.disable(logging.WARNING)
        from vllm.entrypoints.launchers.cli_args import make_arg_parser
        from vllm.utils.argparse_utils import FlexibleArgumentParser

        stand_ins = StandIns()
        parser = make_arg_parser(FlexibleArgumentParser())
        answers = []
        for question in questions:
            stand_ins.become(question.device)
            answers.append(asdict(_answer(question, parser)))
    print(_MARK + json.dumps(answers, default=str), flush=True)  # noqa: T201 - its one output
    return 0


def _tupled(device: dict[str, Any]) -> dict[str, Any]:
    return {**device, "capability": tuple(device["capability"])}


if __name__ == "__main__":
    sys.exit(main())
