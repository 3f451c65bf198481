"""`r1 chat "…"`: ask once, and see the reasoning (dimmed) and the answer as they are written."""

import argparse
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from r1.api import CallFailed, Endpoint, events, request
from r1.stack.find import NoStack, complain

DIM, PLAIN = "\x1b[2m", "\x1b[0m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("question", nargs="+", help="what to ask; `-` reads standard input")
    parser.add_argument("--model", default="deepseek-r1", metavar="ID")
    parser.add_argument("--temperature", type=float, metavar="T")
    parser.add_argument("--max-tokens", type=int, metavar="N")
    parser.add_argument("--no-reasoning", action="store_true", help="show the answer only")
    parser.add_argument(
        "--port-base",
        type=int,
        metavar="N",
        help="which stack to ask; without it $OPENAI_BASE_URL and $OPENAI_API_KEY are used if set",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask and print."""
    question = " ".join(arguments.question)
    body: dict[str, Any] = {
        "model": arguments.model,
        "messages": [
            {"role": "user", "content": sys.stdin.read() if question == "-" else question}
        ],
        "stream": True,
    }
    for name in ("temperature", "max_tokens"):
        if getattr(arguments, name) is not None:
            body[name] = getattr(arguments, name)
    try:
        endpoint = Endpoint.choose(arguments.port_base)
        with request(endpoint, "POST", "/chat/completions", body) as response:
            show(events(response), sys.stdout, reasoning=not arguments.no_reasoning)
    except (NoStack, CallFailed) as error:
        print(flush=True)
        return complain("chat", error)
    return 0


def show(stream: Iterable[dict[str, Any]], out: TextIO, *, reasoning: bool = True) -> None:
    """Print a stream's pieces as they come; on a terminal the reasoning is dimmed.

    Elsewhere (a pipe, a file) it stands between <think> and </think>, so that a program can
    tell it from the answer.
    """
    terminal = out.isatty()
    before, after = (DIM, PLAIN) if terminal else ("<think>\n", "</think>\n")
    thinking = False
    try:
        for event in stream:
            for choice in event.get("choices", []):
                delta = choice.get("delta", {})
                thought, said = delta.get("reasoning_content"), delta.get("content")
                if thought and reasoning:
                    out.write(thought if thinking else before + thought)
                    thinking = True
                if said:
                    out.write(f"{after}{said}" if thinking else said)
                    thinking = False
                out.flush()
    finally:
        # A terminal must not stay dimmed when the answer ends early.
        out.write((after if thinking else "") + "\n")
        out.flush()
