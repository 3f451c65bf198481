"""The fields of each API's requests: types, bounds, and which go together. Pure.

What isn't named here passes through. What is named is checked before anything else is done with
it, so that a wrong request costs no more than one look and its error names the field.
"""

from __future__ import annotations

from typing import Any, Literal

from gateway.errors import InvalidRequest
from gateway.protocol.conversation import (
    check_chat,
    check_functions,
    check_input,
    check_message_tools,
    check_turns,
)
from gateway.protocol.reach import check_reach
from gateway.protocol.rules import (
    Rule,
    at_most,
    check,
    entries,
    flag,
    number,
    one_of,
    record,
    text,
    whole,
    wrong,
)
from gateway.protocol.structures import check_structures
from gateway.settings import Bounds

Api = Literal["chat", "completions", "responses", "messages", "count_tokens"]

_TOKENS = whole(0, 2**31)
_LEAST_ONE = whole(1, 2**31)
_SEED = whole(-(2**63), 2**63 - 1)
_PENALTY = number(-2, 2)


def _no_budget(field: str, value: Any) -> None:
    raise InvalidRequest(
        f"'{field}' is known in chat and text completions alone; leave it out here.", param=field
    )


# Of all APIs; the last five are vLLM's own.
_SAMPLING: dict[str, Rule] = {
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "frequency_penalty": _PENALTY,
    "presence_penalty": _PENALTY,
    "seed": _SEED,
    "user": text(512),
    "metadata": record,
    "stream": flag,
    "chat_template_kwargs": record,
    "top_k": whole(-1, 2**31),
    "min_p": number(0, 1),
    "repetition_penalty": number(0, 10),
    "min_tokens": _TOKENS,
}
_CHAT: dict[str, Rule] = {
    **_SAMPLING,
    "max_tokens": _TOKENS,
    "max_completion_tokens": _TOKENS,
    "max_reasoning_tokens": _LEAST_ONE,
    "logprobs": flag,
    "parallel_tool_calls": flag,
    "return_token_ids": flag,
    "include_reasoning": flag,
}
_COMPLETIONS: dict[str, Rule] = {
    **_SAMPLING,
    "max_tokens": _TOKENS,
    "max_reasoning_tokens": _LEAST_ONE,
    "echo": flag,
    "suffix": text(2**20),
    "return_token_ids": flag,
}
_RESPONSES: dict[str, Rule] = {
    **_SAMPLING,
    "max_output_tokens": _LEAST_ONE,
    "max_reasoning_tokens": _no_budget,
    "max_tool_calls": _LEAST_ONE,
    "instructions": text(2**31),
    "parallel_tool_calls": flag,
    "store": flag,
    "background": flag,
    "reasoning": record,
    "text": record,
    "truncation": one_of("auto", "disabled"),
}
_MESSAGES: dict[str, Rule] = {
    **_SAMPLING,
    "max_tokens": _LEAST_ONE,
    "max_reasoning_tokens": _no_budget,
    "output_config": record,
    "tool_choice": record,
}
_RULES: dict[Api, dict[str, Rule]] = {
    "chat": _CHAT,
    "completions": _COMPLETIONS,
    "responses": _RESPONSES,
    "messages": _MESSAGES,
    "count_tokens": _MESSAGES,
}


def check_fields(body: dict[str, Any], api: Api, bounds: Bounds) -> None:
    """Raises InvalidRequest, naming the field."""
    check(body, _RULES[api])
    if api in ("chat", "completions"):
        _check_options(body)
        _check_choices(body, bounds)
        _check_stops("stop", body.get("stop"), bounds)
        _check_bias(body.get("logit_bias"), bounds)
        _check_format(body.get("response_format"))
    if api == "chat":
        check_chat(body, bounds)
        check_functions(body, bounds)
        _check_logprobs(body, bounds)
    elif api == "completions":
        _check_prompt(body, bounds)
        _check_count("logprobs", body, bounds)
    elif api == "responses":
        check_input(body, bounds)
        _check_stops("stop", body.get("stop"), bounds)
        _check_bias(body.get("logit_bias"), bounds)
        _check_count("top_logprobs", body, bounds)
        _refuse_stored(body)
    else:
        check_turns(body, bounds)
        check_message_tools(body, bounds)
        _check_stops("stop_sequences", body.get("stop_sequences"), bounds)
        if api == "messages" and body.get("max_tokens") is None:
            raise wrong("max_tokens", "given: the most tokens that the answer may have")
    check_reach(body, bounds)
    check_structures(body, bounds)


def _check_options(body: dict[str, Any]) -> None:
    options = body.get("stream_options")
    if options is None:
        return
    record("stream_options", options)
    if not body.get("stream"):
        raise InvalidRequest(
            "'stream_options' is only allowed when 'stream' is true.", param="stream_options"
        )
    included = options.get("include_usage")
    if included is not None:
        flag("stream_options.include_usage", included)


def _check_choices(body: dict[str, Any], bounds: Bounds) -> None:
    for field in ("n", "best_of"):
        if body.get(field) is not None:
            whole(1, bounds.choices)(field, body[field])
    _check_count("prompt_logprobs", body, bounds)
    for field in ("stop_token_ids", "allowed_token_ids", "bad_words", "logprob_token_ids"):
        if body.get(field) is not None:
            entries(field, body[field], bounds.logit_bias, "logit_bias", empty=True)


def _check_count(field: str, body: dict[str, Any], bounds: Bounds) -> None:
    """How many alternatives of each token are told."""
    if body.get(field) is not None:
        whole(0, bounds.logprobs)(field, body[field])


def _check_stops(field: str, stops: Any, bounds: Bounds) -> None:
    if stops is None:
        return
    rule = text(bounds.stop_chars)
    if field == "stop" and isinstance(stops, str):
        rule(field, stops)
        return
    for index, stop in enumerate(entries(field, stops, bounds.stops, "stops", empty=True)):
        rule(f"{field}[{index}]", stop)
        if not stop:
            raise wrong(f"{field}[{index}]", "a text that is not empty")


def _check_bias(bias: Any, bounds: Bounds) -> None:
    if bias is None:
        return
    record("logit_bias", bias)
    at_most("logit_bias", len(bias), bounds.logit_bias, "logit_bias")
    rule = number(-100, 100)
    for token, amount in bias.items():
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            raise InvalidRequest(
                "'logit_bias' must map token ids to numbers; it has a key that is no token id.",
                param="logit_bias",
            )
        rule(f"logit_bias.{token}", amount)


def _check_format(wanted: Any) -> None:
    if wanted is None:
        return
    record("response_format", wanted)
    kind = wanted.get("type")
    one_of("text", "json_object", "json_schema", "structural_tag")("response_format.type", kind)
    if kind == "json_schema":
        schema = wanted.get("json_schema")
        record("response_format.json_schema", schema)
        text(64)("response_format.json_schema.name", schema.get("name"))
        record("response_format.json_schema.schema", schema.get("schema"))


def _check_logprobs(body: dict[str, Any], bounds: Bounds) -> None:
    _check_count("top_logprobs", body, bounds)
    if body.get("top_logprobs") and not body.get("logprobs"):
        raise InvalidRequest(
            "'top_logprobs' is only allowed when 'logprobs' is true.", param="top_logprobs"
        )


def _check_prompt(body: dict[str, Any], bounds: Bounds) -> None:
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return
    if not isinstance(prompt, list) or not prompt:
        raise wrong("prompt", "a text, a list of token ids, or a list of these")
    if _are_ids(prompt):
        return
    count = len(prompt) * (body.get("n") or 1)
    at_most("prompt", count, bounds.choices, "choices")
    kind = type(prompt[0])
    for index, one in enumerate(prompt):
        fits = isinstance(one, str) or (isinstance(one, list) and bool(one) and _are_ids(one))
        if not fits or type(one) is not kind:
            raise wrong(f"prompt[{index}]", "a text or a list of token ids, as all others are")


def _are_ids(value: list[Any]) -> bool:
    return all(type(each) is int and 0 <= each < 2**31 for each in value)


_STORED = {
    "previous_response_id": "send the earlier turns in 'input'",
    "conversation": "send the earlier turns in 'input'",
    "store": "leave it out or send false",
    "background": "leave it out or send false, and stream if the answer takes long",
}


def _refuse_stored(body: dict[str, Any]) -> None:
    for field, instead in _STORED.items():
        if body.get(field):
            raise InvalidRequest(
                f"'{field}' is not supported: no answer is kept here; {instead}.", param=field
            )
