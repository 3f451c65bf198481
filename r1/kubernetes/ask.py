"""`python -m r1.kubernetes.ask MODEL`: what `helm test` runs: asks a sum, and checks the answer.

OPENAI_BASE_URL and OPENAI_API_KEY say where and with which key, as for any client.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable

from openai import APIConnectionError, OpenAI, OpenAIError

QUESTION = "What is 4821 + 379?"
ANSWER = "5200"
_PAUSE_S = 2.0


def is_right(text: str) -> bool:
    """Whether an answer holds the sum, as a number of its own."""
    return re.search(rf"(?<!\d){ANSWER}(?!\d)", text.replace(",", "")) is not None


def ask(client: OpenAI, model: str, until: float, clock: Callable[[], float]) -> str:
    """Ask until something answers, or `until` on the clock; return what the model said.

    A Service has its first endpoint a moment after its pod is ready.

    Raises:
        OpenAIError: there was an error in place of an answer.
    """
    while True:
        try:
            answer = client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": QUESTION}],
                temperature=0,
                extra_headers={"cache-control": "no-store"},
                timeout=max(1.0, until - clock()),
            )
        except APIConnectionError:
            if clock() + _PAUSE_S > until:
                raise
            time.sleep(_PAUSE_S)
        else:
            return answer.choices[0].message.content or ""


def main() -> int:
    """Ask; 0 if the answer is right."""
    parser = argparse.ArgumentParser(prog="r1.kubernetes.ask", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--timeout", type=float, default=300.0, metavar="SECONDS")
    given = parser.parse_args()
    began = time.monotonic()
    try:
        text = ask(OpenAI(), given.model, began + given.timeout, time.monotonic)
    except OpenAIError as error:
        print(f"{given.model} did not answer: {error}")
        return 1
    right = is_right(text)
    said = f"after {time.monotonic() - began:.1f} s {given.model} said: {text.strip()}"
    print(said if right else f"{said}\nwrong: {QUESTION} is {ANSWER}")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
