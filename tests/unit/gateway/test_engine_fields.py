"""Each field of vLLM's requests is known: passed on, or removed because it reaches too far."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from gateway.protocol.request import STRIPPED

CLASSES = {
    "chat": ("openai.chat_completion.protocol", "ChatCompletionRequest"),
    "completions": ("openai.completion.protocol", "CompletionRequest"),
    "responses": ("openai.responses.protocol", "ResponsesRequest"),
    "messages": ("anthropic.protocol", "AnthropicMessagesRequest"),
    "count_tokens": ("anthropic.protocol", "AnthropicCountTokensRequest"),
}
# OpenAI's and Anthropic's own.
STANDARD = """
    messages model frequency_penalty logit_bias logprobs top_logprobs max_tokens
    max_completion_tokens n presence_penalty response_format seed stop stream stream_options
    temperature top_p tools tool_choice parallel_tool_calls reasoning_effort user prompt echo suffix
    background include input instructions max_output_tokens max_tool_calls metadata
    previous_response_id reasoning service_tier store text truncation prompt_cache_key
    output_config stop_sequences system
"""
# vLLM's, which touch nothing but the caller's own prompt, sampling and answer.
HARMLESS = """
    thinking_token_budget top_k min_p repetition_penalty length_penalty stop_token_ids
    include_stop_str_in_output ignore_eos min_tokens skip_special_tokens
    spaces_between_special_tokens truncate_prompt_tokens truncation_side prompt_logprobs
    logprob_token_ids allowed_token_ids bad_words add_generation_prompt continue_final_message
    add_special_tokens documents chat_template_kwargs structured_outputs return_tokens_as_token_ids
    repetition_detection stream_interval
"""


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """The request classes of the vLLM that is installed."""
    pytest.importorskip("vllm", reason="vLLM is not installed, so its fields can't be compared")
    return {
        api: getattr(import_module(f"vllm.entrypoints.{module}"), name)
        for api, (module, name) in CLASSES.items()
    }


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(300)
def test_every_field_is_known(models: dict[str, Any]) -> None:
    known = {*STANDARD.split(), *HARMLESS.split(), *STRIPPED}
    unknown = {api: set(model.model_fields) - known for api, model in models.items()}
    assert not any(unknown.values()), f"pass these on or strip them: {unknown}"
    fields = {field for model in models.values() for field in model.model_fields}
    assert not set(HARMLESS.split()) - fields, "vLLM has these no more"
