"""From vLLM's answers to the output's."""

from typing import Any

from serving.batch.answer import as_object, question, thinking_tokens, told

END = 9


def answer(ids: list[int], **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "choices": [
            {"index": 0, "message": {"role": "assistant", **message}, "token_ids": ids},
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": len(ids)},
        "prompt_token_ids": [1, 2, 3],
        "kv_transfer_params": None,
    }


def test_the_engine_is_asked_by_the_models_id_and_for_token_ids() -> None:
    body = {"model": "deepseek-reasoner", "messages": [], "temperature": 0}
    asked = question(body, "deepseek-r1")
    assert asked == {**body, "model": "deepseek-r1", "return_token_ids": True}
    assert body["model"] == "deepseek-reasoner"


def test_reasoning_gets_the_name_that_clients_know_and_its_tokens_are_counted() -> None:
    body = answer([5, 6, END, 7], content="2", reasoning="1+1")
    told(body, url="/v1/chat/completions", ids_wanted=False, think_end=END)
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": "2",
        "reasoning_content": "1+1",
    }
    assert body["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert "token_ids" not in body["choices"][0]
    assert not body.keys() & {"prompt_token_ids", "kv_transfer_params"}


def test_token_ids_stay_where_they_were_asked_for() -> None:
    body = answer([5, END], content="2", reasoning="")
    told(body, url="/v1/chat/completions", ids_wanted=True, think_end=END)
    assert body["choices"][0]["token_ids"] == [5, END]
    assert body["prompt_token_ids"] == [1, 2, 3]


def test_an_answer_cut_while_thinking_is_all_reasoning() -> None:
    body = answer([5, 6, 7], content=None, reasoning="1+1")
    told(body, url="/v1/chat/completions", ids_wanted=False, think_end=END)
    assert body["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert thinking_tokens([END, 1], END) == 0


def test_completions_have_text_and_no_reasoning() -> None:
    body = {"choices": [{"text": "2", "token_ids": [5]}], "usage": {"completion_tokens": 1}}
    told(body, url="/v1/completions", ids_wanted=False, think_end=END)
    assert body == {"choices": [{"text": "2"}], "usage": {"completion_tokens": 1}}


def test_what_is_no_answer_becomes_an_error() -> None:
    assert as_object(400, b'{"error": {"message": "no"}}') == {"error": {"message": "no"}}
    assert as_object(500, b"Internal Server Error")["error"]["message"] == "Internal Server Error"
    assert "error" in as_object(200, b"[]")
