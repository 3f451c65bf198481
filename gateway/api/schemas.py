"""JSON schemas of the inference routes, for the OpenAPI document: data, nothing else.

They name what the gateway reads, checks or changes. Other fields pass through to the engine, so
no object is closed.
"""

from __future__ import annotations

from typing import Any

from gateway.protocol.fields import Api

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: str = "", **properties: Schema) -> Schema:
    schema: Schema = {"type": "object", "properties": properties}
    return {**schema, "required": required.split()} if required else schema


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _enum(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _number(low: float, high: float) -> Schema:
    return {"type": "number", "minimum": low, "maximum": high}


TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
LEAST_ONE: Schema = {"type": "integer", "minimum": 1}
NUMBER: Schema = {"type": "number"}
ANY: Schema = {"type": "object"}
MAYBE_TEXT = _or_null(TEXT)
PARTS = _list(_object("type", type=TEXT, text=TEXT))
CONTENT: Schema = {"anyOf": [TEXT, PARTS]}
STOP: Schema = {"anyOf": [TEXT, _list(TEXT)]}
EFFORT = _enum("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SAMPLING: dict[str, Schema] = {
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "seed": WHOLE,
    "logit_bias": {"type": "object", "additionalProperties": _number(-100, 100)},
    "user": TEXT,
    "stream": FLAG,
}
_MODEL = {"type": "string", "description": "Id or alias; GET /v1/models lists them."}
_OPTIONS = _object(include_usage=FLAG)
_FUNCTION = _object("name", name=TEXT, description=TEXT, parameters=ANY)
_CALL = _object(id=TEXT, index=COUNT, type=TEXT, function=_object(name=TEXT, arguments=TEXT))
_LOGPROBS = _or_null(ANY)
_FINISH = _or_null(_enum("stop", "length", "tool_calls", "content_filter"))

SCHEMAS: dict[str, Schema] = {
    "Error": _object(
        "error",
        error=_object(
            "message type param code", message=TEXT, type=TEXT, param=MAYBE_TEXT, code=TEXT
        ),
    ),
    "AnthropicError": _object(
        "type error request_id",
        type={"const": "error"},
        error=_object("type message", type=TEXT, message=TEXT, code=TEXT, param=MAYBE_TEXT),
        request_id=TEXT,
    ),
    "Message": _object(
        "role",
        role=_enum("system", "developer", "user", "assistant", "tool", "function"),
        content=_or_null(CONTENT),
        reasoning_content=MAYBE_TEXT,
        tool_calls=_or_null(_list(_CALL)),
        tool_call_id=TEXT,
        prefix={**FLAG, "description": "Only on the last message, the assistant's: go on from it."},
    ),
    "ChatRequest": _object(
        "model messages",
        model=_MODEL,
        messages={**_list(ref("Message")), "minItems": 1},
        **_SAMPLING,
        stream_options=_OPTIONS,
        max_tokens=COUNT,
        max_completion_tokens=COUNT,
        max_reasoning_tokens=LEAST_ONE,
        n=LEAST_ONE,
        stop=STOP,
        logprobs=FLAG,
        top_logprobs=COUNT,
        tools=_list(_object("type function", type={"const": "function"}, function=_FUNCTION)),
        tool_choice={"anyOf": [_enum("none", "auto", "required"), ANY]},
        parallel_tool_calls=FLAG,
        response_format=_object("type", type=TEXT, json_schema=ANY),
        thinking=_object("type", type=_enum("enabled", "disabled", "adaptive", "auto")),
        reasoning_effort=EFFORT,
        chat_template_kwargs=ANY,
        include_reasoning=FLAG,
        return_token_ids=FLAG,
    ),
    "Usage": _object(
        "prompt_tokens completion_tokens total_tokens",
        prompt_tokens=COUNT,
        completion_tokens=COUNT,
        total_tokens=COUNT,
        prompt_tokens_details=_or_null(_object(cached_tokens=_or_null(COUNT))),
        completion_tokens_details=_or_null(_object(reasoning_tokens=COUNT)),
        prompt_cache_hit_tokens=COUNT,
        prompt_cache_miss_tokens=COUNT,
    ),
    "ChatAnswer": _object(
        "id object created model choices usage",
        id=TEXT,
        object={"const": "chat.completion"},
        created=WHOLE,
        model=TEXT,
        choices=_list(
            _object(
                "index message finish_reason",
                index=COUNT,
                message=_object(
                    "role content reasoning_content",
                    role={"const": "assistant"},
                    content=MAYBE_TEXT,
                    reasoning_content=MAYBE_TEXT,
                    tool_calls=_list(_CALL),
                ),
                logprobs=_LOGPROBS,
                finish_reason=_FINISH,
            )
        ),
        usage=ref("Usage"),
    ),
    "ChatChunk": _object(
        "id object created model choices",
        id=TEXT,
        object={"const": "chat.completion.chunk"},
        created=WHOLE,
        model=TEXT,
        choices=_list(
            _object(
                "index delta finish_reason",
                index=COUNT,
                delta=_object(
                    "content reasoning_content",
                    role=TEXT,
                    content=MAYBE_TEXT,
                    reasoning_content=MAYBE_TEXT,
                    tool_calls=_list(_CALL),
                ),
                logprobs=_LOGPROBS,
                finish_reason=_FINISH,
            )
        ),
        usage=_or_null(ref("Usage")),
    ),
    "CompletionRequest": _object(
        "model prompt",
        model=_MODEL,
        prompt={"anyOf": [TEXT, _list(WHOLE), _list(TEXT), _list(_list(WHOLE))]},
        **_SAMPLING,
        stream_options=_OPTIONS,
        max_tokens=_or_null(COUNT),
        max_reasoning_tokens=LEAST_ONE,
        n=LEAST_ONE,
        stop=STOP,
        echo=FLAG,
        logprobs=COUNT,
        suffix=TEXT,
    ),
    "CompletionAnswer": _object(
        "id object created model choices",
        id=TEXT,
        object={"const": "text_completion"},
        created=WHOLE,
        model=TEXT,
        choices=_list(
            _object(
                "index text finish_reason",
                index=COUNT,
                text=TEXT,
                logprobs=_LOGPROBS,
                finish_reason=_FINISH,
            )
        ),
        usage=_or_null(ref("Usage")),
    ),
    "ResponsesRequest": _object(
        "model input",
        model=_MODEL,
        input={"anyOf": [TEXT, {**_list(ANY), "minItems": 1}]},
        instructions=TEXT,
        **_SAMPLING,
        max_output_tokens=LEAST_ONE,
        tools=_list(_object("type", type=TEXT)),
        tool_choice={"anyOf": [TEXT, ANY]},
        reasoning=_object(effort=EFFORT),
        text=ANY,
        store={"const": False, "description": "Nothing is stored."},
    ),
    "ResponsesAnswer": _object(
        "id object model status output",
        id=TEXT,
        object={"const": "response"},
        model=TEXT,
        status=_enum("completed", "incomplete", "in_progress", "failed", "cancelled", "queued"),
        output=_list(_object("type", type=TEXT)),
        usage=_or_null(_object(input_tokens=COUNT, output_tokens=COUNT, total_tokens=COUNT)),
    ),
    "NamedEvent": _object("type", type=TEXT),
    "MessagesRequest": _object(
        "model messages max_tokens",
        model=_MODEL,
        messages={
            **_list(_object("role content", role=_enum("user", "assistant", "system"))),
            "minItems": 1,
        },
        max_tokens=LEAST_ONE,
        system=CONTENT,
        temperature=_number(0, 2),
        top_p=_number(0, 1),
        top_k=WHOLE,
        stop_sequences=_list(TEXT),
        stream=FLAG,
        tools=_list(_object("name input_schema", name=TEXT, input_schema=ANY)),
        tool_choice=ANY,
        thinking=_object("type", type=_enum("enabled", "disabled", "adaptive", "auto")),
    ),
    "MessagesAnswer": _object(
        "id type role content model stop_reason usage",
        id=TEXT,
        type={"const": "message"},
        role={"const": "assistant"},
        content=_list(_object("type", type=TEXT)),
        model=TEXT,
        stop_reason=_or_null(_enum("end_turn", "max_tokens", "stop_sequence", "tool_use")),
        usage=_object("input_tokens output_tokens", input_tokens=COUNT, output_tokens=COUNT),
    ),
    "CountRequest": _object(
        "model messages", model=_MODEL, messages=_list(ANY), system=CONTENT, tools=_list(ANY)
    ),
    "CountAnswer": _object("input_tokens", input_tokens=COUNT),
}

ROUTES: dict[Api, tuple[str, str, str, str, str | None]] = {
    # path, what it does, request, whole answer, event of a stream
    "chat": ("/chat/completions", "Chat", "ChatRequest", "ChatAnswer", "ChatChunk"),
    "completions": (
        "/completions",
        "Text completion",
        "CompletionRequest",
        "CompletionAnswer",
        "CompletionAnswer",
    ),
    "responses": (
        "/responses",
        "OpenAI's responses",
        "ResponsesRequest",
        "ResponsesAnswer",
        "NamedEvent",
    ),
    "messages": (
        "/messages",
        "Anthropic's messages",
        "MessagesRequest",
        "MessagesAnswer",
        "NamedEvent",
    ),
    "count_tokens": (
        "/messages/count_tokens",
        "Tokens of a prompt in Anthropic's form",
        "CountRequest",
        "CountAnswer",
        None,
    ),
}
"""The inference routes; each also answers without `/v1`."""
