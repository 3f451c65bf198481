"""The chat template that shows tools to DeepSeek-R1."""

import re
from typing import Any

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serving.catalog import Catalog

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
# The form of one call, as vLLM's parser `deepseek_v3` reads it.
CALL = re.compile(
    r"<｜tool▁call▁begin｜>(?P<type>.*)<｜tool▁sep｜>(?P<name>.*)\n"
    r"```json\n(?P<arguments>.*)\n```<｜tool▁call▁end｜>"
)


@pytest.fixture(scope="module")
def template() -> jinja2.Template:
    tools = Catalog.load().resolve("deepseek-r1").parsers.tools
    assert tools is not None
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(tools.template_path.read_text(encoding="utf-8"))


def render(template: jinja2.Template, *messages: dict[str, Any], **given: Any) -> str:
    given.setdefault("add_generation_prompt", True)
    return template.render(messages=list(messages), bos_token=BOS, **given)


def test_without_tools_the_prompt_is_r1s_own(template: jinja2.Template) -> None:
    prompt = render(
        template,
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "hm, easy\n</think>\n\n2"},
        {"role": "user", "content": "2+2?"},
    )
    assert prompt == (
        f"{BOS}Be brief.<｜User｜>1+1?<｜Assistant｜>\n\n2{EOS}"
        "<｜User｜>2+2?<｜Assistant｜><think>\n"
    )


def test_a_finished_conversation_opens_no_turn(template: jinja2.Template) -> None:
    prompt = render(
        template,
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "2"},
        add_generation_prompt=False,
    )
    assert prompt == f"{BOS}<｜User｜>1+1?<｜Assistant｜>2{EOS}"


def test_tools_are_shown_before_the_first_question(template: jinja2.Template) -> None:
    prompt = render(template, {"role": "user", "content": "Rain?"}, tools=[WEATHER])
    before, after = prompt.split("<｜User｜>")
    assert '"name": "weather"' in before
    assert after == "Rain?<｜Assistant｜><think>\n"
    shown = CALL.search(before)
    assert shown is not None
    assert shown["type"] == "function"


@pytest.mark.parametrize("arguments", ['{"city": "Ulm"}', {"city": "Ulm"}])
def test_a_past_call_is_written_as_the_parser_reads_it(
    template: jinja2.Template, arguments: str | dict[str, str]
) -> None:
    calls = [{"function": {"name": name, "arguments": arguments}} for name in ("rain", "wind")]
    prompt = render(
        template,
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "no"},
        {"role": "tool", "content": "some"},
    )
    found = [(each["type"], each["name"], each["arguments"]) for each in CALL.finditer(prompt)]
    assert found == [
        ("function", "rain", '{"city": "Ulm"}'),
        ("function", "wind", '{"city": "Ulm"}'),
    ]
    assert prompt.endswith(
        f"<｜tool▁calls▁end｜>{EOS}<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>no<｜tool▁output▁end｜>"
        "<｜tool▁output▁begin｜>some<｜tool▁output▁end｜><｜tool▁outputs▁end｜><think>\n"
    )


def test_the_answer_after_tool_results_continues_the_turn(template: jinja2.Template) -> None:
    prompt = render(
        template,
        {"role": "user", "content": "Rain?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"function": {"name": "rain", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "no"},
        {"role": "assistant", "content": "thought</think>No rain."},
        {"role": "user", "content": "Thanks"},
    )
    assert f"<｜tool▁outputs▁end｜>No rain.{EOS}<｜User｜>Thanks<｜Assistant｜><think>\n" in prompt
    assert prompt.count("<｜Assistant｜>") == 2
