"""The fields of a batch's requests against those of the installed vLLM.

vLLM is asked in a process of its own: it takes ten seconds to import, and warns while it does.
"""

import json
import subprocess
import sys

import pytest

from serving.batch.fields import CHAT, COMPLETIONS, FIELDS, WITHOUT_EFFECT, problems

ASK = """
import json
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
known = [sorted(kind.model_fields) for kind in (ChatCompletionRequest, CompletionRequest)]
print("ANSWER" + json.dumps(known))
"""


@pytest.mark.slow
def test_the_engine_knows_every_field_that_is_let_through() -> None:
    said = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    chat, completions = json.loads(said.stdout.partition("ANSWER")[2])
    assert FIELDS[CHAT] <= {*chat}
    assert FIELDS[COMPLETIONS] <= {*completions}
    assert not WITHOUT_EFFECT & {*chat, *completions}


def test_fields_without_effect_are_let_through() -> None:
    assert problems(CHAT, {"messages": [], "metadata": {"run": "1"}, "store": False}) == []


def test_a_stream_is_refused_and_no_stream_is_not() -> None:
    assert problems(CHAT, {"messages": [], "stream": False}) == []
    (said,) = problems(CHAT, {"messages": [], "stream_options": {}})
    assert said == "body.stream_options: is not supported; leave it out"
