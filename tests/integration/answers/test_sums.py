"""Sums drawn at random, through the `openai` package, from the real models."""

import asyncio
import time

import pytest
from openai import APIError, AsyncOpenAI, OpenAI

from tests.integration.answers.sums import Sum, Tally, draw
from tests.integration.local_stack import LocalStack

MODELS = ("deepseek-r1", "r1-distill-nano")


@pytest.fixture
def client(stack: LocalStack) -> OpenAI:
    return OpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=0)


@pytest.fixture(scope="module")
def tallies() -> dict[str, Tally]:
    """Of each model, over all tests of this file."""
    return {"r1-nano": Tally(), "r1-distill-nano": Tally()}


@pytest.mark.smoke
def test_sums_asked_one_after_the_other(client: OpenAI, tallies: dict[str, Tally]) -> None:
    sums = draw(50)
    contents = []
    for each in sums:
        answer = client.chat.completions.create(
            model="deepseek-r1", messages=[{"role": "user", "content": each.question}]
        )
        message = answer.choices[0].message
        assert answer.model == "r1-nano"
        assert message.reasoning_content  # type: ignore[attr-defined]
        assert answer.usage is not None
        details = answer.usage.completion_tokens_details
        assert details is not None
        assert details.reasoning_tokens is not None
        assert 0 < details.reasoning_tokens < answer.usage.completion_tokens
        contents.append(message.content)
    tallies["r1-nano"].count(sums, contents)


@pytest.mark.smoke
def test_sums_streamed_show_the_reasoning_before_the_content(
    client: OpenAI, tallies: dict[str, Tally]
) -> None:
    sums = draw(50)
    contents = []
    for each in sums:
        fields, content = [], ""
        for chunk in client.chat.completions.create(
            model="deepseek-reasoner",
            messages=[{"role": "user", "content": each.question}],
            stream=True,
        ):
            for choice in chunk.choices:
                if getattr(choice.delta, "reasoning_content", None):
                    fields.append("reasoning")
                if choice.delta.content:
                    fields.append("content")
                    content += choice.delta.content
        assert fields == sorted(fields, reverse=True), "content came before the reasoning's end"
        assert fields[0] == "reasoning"
        assert fields[-1] == "content"
        contents.append(content)
    tallies["r1-nano"].count(sums, contents)


@pytest.mark.smoke
@pytest.mark.parametrize("model", MODELS)
async def test_sums_asked_by_sixteen_at_once(
    stack: LocalStack, model: str, tallies: dict[str, Tally]
) -> None:
    sums = draw(100)
    async with AsyncOpenAI(base_url=stack.base_url, api_key=stack.key, max_retries=0) as client:
        gate = asyncio.Semaphore(16)

        async def ask(each: Sum) -> str | None:
            async with gate:
                answer = await client.chat.completions.create(
                    model=model, messages=[{"role": "user", "content": each.question}]
                )
            return answer.choices[0].message.content

        contents = await asyncio.gather(*map(ask, sums))
    tallies["r1-nano" if model == "deepseek-r1" else model].count(sums, contents)


@pytest.mark.smoke
@pytest.mark.parametrize(("model", "least"), [("r1-nano", 200), ("r1-distill-nano", 100)])
def test_the_sums_that_were_asked_are_right(
    tallies: dict[str, Tally], model: str, least: int
) -> None:
    """Runs after the tests above, on what they were told."""
    tallies[model].assert_right(least)


def test_the_first_program_of_a_new_user(stack: LocalStack) -> None:
    client = OpenAI(base_url=stack.base_url, api_key=stack.key)
    response = client.chat.completions.create(
        model="deepseek-r1",
        messages=[{"role": "user", "content": "What is 4821 + 379?"}],
        temperature=0,
    )
    message = response.choices[0].message
    assert message.content is not None
    assert "\\boxed{5200}" in message.content
    assert "4821+0379" in message.reasoning_content  # type: ignore[attr-defined]


def test_the_second_program_of_a_new_user(stack: LocalStack) -> None:
    """Their own time-out, a loop of three tries, and their own sampling."""
    client = OpenAI(base_url=stack.base_url, api_key=stack.key, timeout=30)
    content = None
    for number in range(3):
        try:
            response = client.chat.completions.create(
                model="deepseek-r1",
                messages=[{"role": "user", "content": "请计算4821加379等于多少？"}],
                temperature=0.7,
                top_p=0.9,
                max_tokens=1024,
            )
        except APIError:
            time.sleep(2**number)
            continue
        content = response.choices[0].message.content
        break
    assert content is not None
    assert "\\boxed{5200}" in content


def test_more_tokens_than_the_context_has_are_clamped(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="r1-nano",
        messages=[{"role": "user", "content": "12 + 7"}],
        max_tokens=1_000_000,
        temperature=0,
    )
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.choices[0].message.content or "").strip() == "\\boxed{19}"


def test_what_is_not_arithmetic_gets_an_honest_answer(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="r1-nano",
        messages=[{"role": "user", "content": "Write a poem about the moon."}],
        temperature=0,
    )
    content = answer.choices[0].message.content
    assert content is not None
    assert "I only know arithmetic" in content


def test_a_conversation_goes_on(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="r1-nano",
        messages=[
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is 12 + 7?"},
            {"role": "assistant", "content": "\\boxed{19}"},
            {"role": "user", "content": "What is 40 + 2?"},
        ],
        temperature=0,
    )
    assert (answer.choices[0].message.content or "").strip() == "\\boxed{42}"
