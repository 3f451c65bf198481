"""What a request may not make a model server do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import InvalidRequest
from gateway.protocol.request import Api, parse
from gateway.settings import Bounds

URL = "http://169.254.169.254/latest/meta-data"
DATA = "data:image/png;base64,eA=="
CHAT = "messages[0].content[1]"


def chat(*parts: Any, **fields: Any) -> dict[str, Any]:
    content: Any = [{"type": "text", "text": "What is this?"}, *parts] if parts else "hi"
    return {"model": "m", "messages": [{"role": "user", "content": content}], **fields}


def responses(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "input": [{"role": "user", "content": "hi"}, *items], **fields}


def messages(*blocks: Any, **fields: Any) -> dict[str, Any]:
    return {**chat(*blocks, **fields), "max_tokens": 5}


def refusal(api: Api, body: dict[str, Any], bounds: Bounds | None = None) -> str | None:
    """The field that is refused; None if none is."""
    try:
        parse(json.dumps(body).encode(), api, max_depth=20, bounds=bounds or Bounds())
    except InvalidRequest as error:
        return error.param
    return None


REACHING: list[tuple[Api, dict[str, Any], str]] = [
    ("chat", chat({"type": "image_url", "image_url": {"url": URL}}), f"{CHAT}.image_url.url"),
    ("chat", chat({"type": "image_url", "image_url": URL}), f"{CHAT}.image_url"),
    ("chat", chat({"type": "video_url", "video_url": {"url": URL}}), f"{CHAT}.video_url.url"),
    (
        "chat",
        chat({"type": "audio_url", "audio_url": {"url": "file:///etc/passwd"}}),
        "audio_url.url",
    ),
    ("chat", chat({"type": "image_url", "image_url": {"url": [URL]}}), "image_url.url"),
    ("chat", chat({"type": "image_url", "image_url": {"url": " data:x"}}), "image_url.url"),
    ("chat", chat({"type": "image_embeds", "image_embeds": "eA=="}), f"{CHAT}.image_embeds"),
    (
        "responses",
        responses({"role": "user", "content": [{"type": "input_image", "image_url": URL}]}),
        "input[1].content[0].image_url",
    ),
    (
        "responses",
        responses({"role": "user", "content": [{"type": "input_file", "file_url": URL}]}),
        "input[1].content[0].file_url",
    ),
    (
        "responses",
        responses({"type": "computer_call_output", "output": {"image_url": URL}}),
        "input[1].output.image_url",
    ),
    (
        "responses",
        responses(tools=[{"type": "mcp", "server_label": "x", "server_url": URL}]),
        "tools[0].type",
    ),
    (
        "messages",
        messages({"type": "image", "source": {"type": "url", "url": URL}}),
        f"{CHAT}.source.url",
    ),
    (
        "messages",
        messages(
            {
                "type": "tool_result",
                "tool_use_id": "a",
                "content": [{"type": "document", "source": {"type": "url", "url": URL}}],
            }
        ),
        f"{CHAT}.content[0].source.url",
    ),
    ("messages", messages(mcp_servers=[{"type": "url", "url": URL}]), "mcp_servers"),
]


@pytest.mark.parametrize(("api", "body", "param"), REACHING)
def test_urls_and_tool_servers_are_refused(api: Api, body: dict[str, Any], param: str) -> None:
    refused = refusal(api, body)
    assert refused is not None
    assert refused.endswith(param)


@pytest.mark.parametrize(("api", "body", "param"), REACHING)
def test_unless_they_are_allowed(api: Api, body: dict[str, Any], param: str) -> None:
    assert refusal(api, body, Bounds(remote_urls=True)) is None


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("chat", chat({"type": "image_url", "image_url": {"url": DATA, "detail": "low"}})),
        ("chat", chat({"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}})),
        ("chat", chat(chat_template_kwargs={"thinking": True})),
        ("messages", messages({"type": "image", "source": {"type": "base64", "data": "eA=="}})),
        (
            "responses",
            responses(
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "output_text",
                            "text": URL,
                            "annotations": [{"type": "url_citation", "url": URL}],
                        }
                    ],
                }
            ),
        ),
    ],
)
def test_content_itself_is_welcome(api: Api, body: dict[str, Any]) -> None:
    assert refusal(api, body) is None


@pytest.mark.parametrize("name", ["tokenize", "chat_template", "padding", "max_length", "tools"])
def test_the_tokenizers_own_arguments_are_not_the_callers(name: str) -> None:
    body = chat(chat_template_kwargs={name: 1})
    assert refusal("chat", body) == f"chat_template_kwargs.{name}"


BOMB = "(a{999}){999}"
TOOL = {"name": "f", "parameters": {"properties": {"x": {"type": "string", "pattern": BOMB}}}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"structured_outputs": {"regex": BOMB}}, "structured_outputs.regex"),
        ({"guided_regex": BOMB}, "guided_regex"),
        ({"guided_json": json.dumps({"pattern": BOMB})}, "guided_json.pattern"),
        ({"structured_outputs": {"json": {"items": {"pattern": BOMB}}}}, "json.items.pattern"),
        ({"structured_outputs": {"json": json.dumps({"pattern": BOMB})}}, "json.pattern"),
        ({"structured_outputs": {"json": {"patternProperties": {BOMB: {}}}}}, "patternProperties"),
        ({"structured_outputs": {"grammar": "a" * 70_000}}, "structured_outputs"),
        ({"structured_outputs": {"choice": ["x" * 1000] * 100}}, "structured_outputs"),
        ({"grammar": "a" * 70_000}, "grammar"),
        ({"json_schema": {"$ref": URL}}, "json_schema.$ref"),
        ({"tools": [{"type": "function", "function": TOOL}]}, "properties.x.pattern"),
        ({"bad_words": ["x"] * 2000}, "bad_words"),
        ({"stop_token_ids": 5}, "stop_token_ids"),
    ],
)
def test_what_takes_long_to_compile_is_refused(fields: dict[str, Any], param: str) -> None:
    refused = refusal("chat", chat(**fields))
    assert refused is not None
    assert refused.endswith(param)


def test_usual_schemas_pass() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T[^ ]+$"},
            "next": {"$ref": "#/$defs/node"},
            "kind": {"enum": [BOMB]},
        },
        "$defs": {"node": {"type": "object"}},
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert refusal("chat", chat(response_format=form)) is None
    assert refusal("chat", chat(structured_outputs={"json": "{no json"})) is None
