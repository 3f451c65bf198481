"""`r1 up --check`: what the engines would be started with, and whether vLLM takes it."""

import json
from collections.abc import Callable, Sequence

from r1.engine_args import print_table
from r1.stack.choice import Choice
from serving.engine.acceptance import Answer, Question, ask, question_of


def dry_run(
    chosen: Sequence[Choice], ask_vllm: Callable[[Sequence[Question]], list[Answer]] = ask
) -> int:
    """Print each model's arguments and vLLM's answer; 0, or 1 where it refuses any.

    Raises:
        NoAnswer: vLLM could not be asked.
    """
    for each in chosen:
        print_table(each.engine)
        print()
    refused = 0
    answers = ask_vllm([question_of(each.engine) for each in chosen])
    for each, answer in zip(chosen, answers, strict=True):
        engine = each.engine
        where = f"{engine.model.id} on {engine.machine.id}, profile {engine.profile.name}"
        if answer.error is None:
            print(f"vLLM takes {where}: {json.dumps(answer.settled)}")
        else:
            refused += 1
            print(f"vLLM refuses {where}: {answer.error}")
    return 1 if refused else 0
