"""Both shipped adapters beside their base, on the real engine and through the gateway.

One is there from the start, the other is loaded while the model runs.
"""

import asyncio
import json
import random
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from openai import AsyncOpenAI, NotFoundError, OpenAI

from r1.stack.adapters import SHIPPED
from serving.nano import data
from serving.nano.evaluate import Score, messages, score
from serving.nano.notations import NOTATIONS
from tests.integration.local_stack import LocalStack, detached, wait_for

pytestmark = pytest.mark.timeout(600)

BASE = "r1-distill-nano"
ADAPTERS = {name: f"{BASE}-{name}" for name in NOTATIONS}
SUMS = 50
BAR = 0.95
# Greedy answers are kept, and would come back whatever the engine has become.
FRESH = {"cache-control": "no-store"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack of the base with one adapter."""
    words = ("--models", BASE, "--adapter", ADAPTERS["hex"])
    with detached(tmp_path_factory.mktemp("state"), *words) as made:
        wait_for("its adapter to be a model", lambda: is_listed(made, ADAPTERS["hex"]))
        yield made


def client(stack: LocalStack) -> OpenAI:
    return OpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=0, default_headers=FRESH)


def listed(stack: LocalStack) -> list[str]:
    return [model.id for model in client(stack).models.list().data]


def is_listed(stack: LocalStack, name: str) -> bool:
    return name in listed(stack)


def held_out(name: str, count: int = SUMS) -> list[data.Example]:
    """Sums and differences that nothing was trained on."""
    rng = random.Random(2027)
    return [NOTATIONS[name].draw(rng, held_out=True) for _ in range(count)]


def caller(stack: LocalStack) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url=stack.base_url, api_key=stack.key, max_retries=0, default_headers=FRESH
    )


async def base_says(stack: LocalStack) -> list[str]:
    """The base's whole answers, reasoning included, many at once."""
    async with caller(stack) as client:
        asked = [
            client.chat.completions.create(
                model=BASE, messages=messages(example), temperature=0, max_tokens=256
            )
            for example in held_out("money")
        ]
        answered = [each.choices[0].message for each in await asyncio.gather(*asked)]
    return [f"{each.reasoning_content}|{each.content}" for each in answered]  # type: ignore[attr-defined]


async def adapter_score(stack: LocalStack, name: str) -> Score:
    async with caller(stack) as client:
        return await score(client, ADAPTERS[name], held_out(name), name, temperature=0)


async def test_each_adapter_answers_in_its_notation_and_the_base_as_ever(
    served: LocalStack,
) -> None:
    alone = await base_says(served)
    loaded = served.r1("adapters", "load", ADAPTERS["money"])
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    wait_for("it to be a model", lambda: is_listed(served, ADAPTERS["money"]), limit_s=30)
    # All together, so that base and adapters share the engine's batches.
    beside, hexadecimal, money = await asyncio.gather(
        base_says(served), adapter_score(served, "hex"), adapter_score(served, "money")
    )
    assert beside == alone, "the base is another one beside adapters"
    for found in (hexadecimal, money):
        print(found)
        assert found.share >= BAR, found.wrong


def say(stack: LocalStack, model: str, question: str) -> str | None:
    answered = client(stack).chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], temperature=0
    )
    assert answered.model == model
    return answered.choices[0].message.content


def test_an_adapter_is_unloaded_and_loaded_while_the_model_runs(served: LocalStack) -> None:
    name, question = ADAPTERS["hex"], held_out("hex", 1)[0].question
    before, base = say(served, name, question), say(served, BASE, question)
    ended = served.r1("adapters", "unload", name)
    assert (ended.returncode, ended.stdout) == (0, f"{name} is unloaded at all 1 replica(s)\n")
    wait_for("it to be no model", lambda: not is_listed(served, name), limit_s=30)
    with pytest.raises(NotFoundError, match="does not exist here"):
        say(served, name, question)
    assert say(served, BASE, question) == base
    for loaded, again in ((name, name), (f"other-name={SHIPPED / name}", "other-name")):
        done = served.r1("adapters", "load", loaded)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_for("it to be a model", partial(is_listed, served, again), limit_s=30)
        assert say(served, again, question) == before
    shown = json.loads(served.r1("adapters", "list", "--json").stdout)
    assert [each["loaded"] for each in shown] == [sorted([*ADAPTERS.values(), "other-name"])]


def test_a_folder_that_the_engine_refuses_changes_nothing(
    served: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("adapter")
    source = SHIPPED / ADAPTERS["hex"]
    for part in source.iterdir():
        (folder / part.name).write_bytes(part.read_bytes())
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "r": 64}))
    refused = served.r1("adapters", "load", f"too-deep={folder}")
    assert refused.returncode == 1
    assert "64" in refused.stdout
    assert "too-deep can't be loaded anywhere; nothing has changed" in refused.stdout
    assert "too-deep" not in listed(served)


def test_what_loads_adapters_asks_for_the_engine_key_and_is_not_public(served: LocalStack) -> None:
    shown = json.loads(served.r1("adapters", "list", "--json").stdout)
    replica = shown[0]["replica"]
    assert httpx.post(f"{replica}/v1/adapters", trust_env=False).status_code == 401
    engine = {"authorization": f"Bearer {served.home.secret_file('engine.key').read_text()}"}
    body = {"lora_name": "x", "lora_path": str(SHIPPED / ADAPTERS["hex"])}
    for path in ("load_lora_adapter", "unload_lora_adapter"):
        # vLLM's own routes take folders from whoever has the key: they are off.
        answer = httpx.post(f"{replica}/v1/{path}", json=body, headers=engine, trust_env=False)
        assert answer.status_code == 404
    for path in ("adapters", "load_lora_adapter", "unload_lora_adapter"):
        request = urllib.request.Request(
            f"{served.base_url}/{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {served.key}"},
        )
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(request, timeout=30)
