"""r1-nano on two ranks, tensor- and expert-parallel, and what it computes against transformers."""

import asyncio
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from tokenizers import Tokenizer

from r1.stack.processes import descendants, name_of
from serving.catalog import Catalog
from serving.nano import data
from serving.nano.parity import Parity, compare, serve
from tests.integration.answers.sums import assert_right
from tests.integration.conftest import weights_words
from tests.integration.local_stack import LocalStack, detached

pytestmark = pytest.mark.timeout(900)
PROMPTS = 40  # the whole 200 are compared by `python -m serving.nano.parity`


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    words = ("--models", "r1-nano", "--tp", "2", "--ep", *weights_words())
    with detached(tmp_path_factory.mktemp("state"), *words) as made:
        yield made


def folder(model: str) -> Path:
    path = Catalog.load().resolve(model).weights.path
    assert path is not None
    return path


async def parity(stack: LocalStack, model: str) -> Parity:
    """What the engine serves, asked past the gateway, against transformers."""
    tokenizer = Tokenizer.from_file(str(folder(model) / "tokenizer.json"))
    rng = random.Random(17)
    texts = [data.draw(rng, held_out=True).prompt for _ in range(PROMPTS)]
    prompts = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    async with AsyncOpenAI(
        base_url=f"http://127.0.0.1:{stack.ports.serve}/{model}/v1",
        api_key=stack.home.secret_file("engine.key").read_text(),
        max_retries=0,
    ) as client:
        served = await serve(client, model, prompts)
    return await asyncio.to_thread(compare, folder(model), served)


def test_each_of_two_ranks_holds_half_of_the_experts(parallel: LocalStack) -> None:
    titles = {name_of(pid) for pid in descendants(parallel.status.supervisor_pid)}
    assert {"VLLM::Worker_TP0_EP0", "VLLM::Worker_TP1_EP1"} <= titles
    log = parallel.r1("logs", "models", "-n", "1000000").stdout
    reports = set(re.findall(r"rank (\d) computes (\d+) of (\d+) experts", log))
    assert reports == {("0", "4", "8"), ("1", "4", "8")}, log[-3000:]


async def test_two_ranks_answer_right(parallel: LocalStack) -> None:
    await assert_right(parallel, "deepseek-r1", 50)


async def test_two_ranks_compute_what_transformers_computes(parallel: LocalStack) -> None:
    found = await parity(parallel, "r1-nano")
    assert found.largest <= 1e-3, found
    assert found.identical >= 0.99, found


@pytest.mark.parametrize("model", ["r1-nano", "r1-distill-nano"])
async def test_one_rank_computes_what_transformers_computes(stack: LocalStack, model: str) -> None:
    found = await parity(stack, model)
    assert found.largest <= 1e-3, found
    assert found.identical >= 0.99, found
