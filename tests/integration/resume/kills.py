"""Kills real engines in the middle of streams and compares what callers get with uncut answers.

    python -m tests.integration.resume.kills [KILLS]

Two of vLLM's own servers with a nano model stand behind one gateway. Time after time some greedy
answers are streamed at once, one of the two servers is ended by SIGKILL when one of the answers has
a drawn number of tokens, and started again. Half of the kills end the whole server, the others only
its engine process, which the server then tells of in an error event.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import psutil

from r1.stack.processes import remove, shared_files
from serving.engine.args import SERVER_MODULE
from tests.contract.stack import HTTP, Gateway, RedisServer, free_port, wait_for

MODEL = "r1-nano"
START_S = 300.0
QUESTIONS = (
    "What is 4821 + 379?",
    "9999+1",
    "请计算57 + 68。",
    "Calculate 812 - 377.",
    "What is 7 * 8?",
    "12 + 30 + 45",
    "Add 6054 and 9987.",
    "What is the capital of France?",
)


class Engine:
    """One of vLLM's own servers, which can be killed and started again."""

    def __init__(
        self, folder: Path, scratch: str, model: str = MODEL, weights: Path | None = None
    ) -> None:
        """Args: `scratch` is a short path, for sockets, which a killed server leaves behind;
        `weights` are a folder of others than those that ship."""
        self.weights = weights
        self._scratch = {"TMPDIR": scratch, "VLLM_RPC_BASE_PATH": scratch}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"engine-{self.port}.log"
        told = [sys.executable, "-m", "r1", "engine-args", model, "--hardware", "cpu", "--json"]
        self._derived = json.loads(subprocess.check_output(told))
        self.start()

    def start(self) -> None:
        """Begin to start it."""
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        words = [*self._derived["argv"]]
        if self.weights is not None:
            words[words.index("--model") + 1] = str(self.weights)
        with self._log.open("ab") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-m", SERVER_MODULE, *words, *address],
                env={**os.environ, **self._derived["environment"], **self._scratch},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Until it answers."""

        def ready() -> bool:
            assert self.server.poll() is None, self._log.read_text()[-4000:]
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5).close()
            except OSError:
                return False
            return True

        wait_for(ready, "an engine", START_S)

    def running(self) -> float:
        """Requests that it works on."""
        page = HTTP.get(self.url + "/metrics", timeout=30).text
        return sum(
            float(line.rpartition(" ")[2])
            for line in page.splitlines()
            if line.startswith("vllm:num_requests_running")
        )

    def kill(self, *, core_only: bool = False) -> None:
        """SIGKILL to the server and all its processes, or to its engine process first."""
        everybody = [self.server.pid, *(each.pid for each in self._children())]
        shared = shared_files(everybody)
        if core_only:
            os.kill(everybody[1], signal.SIGKILL)
            # The server ends by itself when its engine is dead.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.server.wait(20)
        for pid in everybody:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.wait()
        remove(shared)

    def _children(self) -> list[psutil.Process]:
        children = psutil.Process(self.server.pid).children(recursive=True)
        return sorted(children, key=lambda each: "EngineCore" not in " ".join(each.cmdline()))


@dataclass
class Answer:
    """What a caller got."""

    reasoning: str = ""
    content: str = ""
    finish: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    chunks: int = 0


@dataclass
class Result:
    """Of all kills."""

    kills: int = 0
    streams: int = 0
    resumed: int = 0
    thinking: int = 0
    wrong: list[str] = field(default_factory=list)


@contextlib.contextmanager
def setting(folder: Path) -> Iterator[tuple[list[Engine], Gateway]]:
    """Two engines and a gateway."""
    scratch = tempfile.TemporaryDirectory(prefix="r1-")
    engines = [Engine(folder, scratch.name), Engine(folder, scratch.name)]
    try:
        for each in engines:
            each.wait_ready()
        redis = RedisServer(folder)
        gateway = Gateway(
            folder / "gateway",
            redis,
            [{"url": each.url} for each in engines],
            retry={"attempts": 3, "base_s": 0.05},
            pool={"affinity": False},
        )
        try:
            yield engines, gateway
        finally:
            gateway.end()
            redis.end()
    finally:
        for each in engines:
            each.kill()
        scratch.cleanup()


def ask(client: openai.OpenAI, question: str, answer: Answer) -> Answer:
    """Stream a greedy answer, counting as it comes."""
    try:
        stream = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in stream:
            if chunk.usage is not None:
                answer.usage = chunk.usage.model_dump()
            for choice in chunk.choices:
                answer.chunks += 1
                answer.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                answer.content += choice.delta.content or ""
                answer.finish = choice.finish_reason or answer.finish
    except openai.APIError as error:
        answer.error = str(error)
    return answer


def faults(got: Answer, expected: Answer) -> list[str]:
    """In what an answer differs from the uncut one."""
    pairs: dict[str, tuple[Any, Any]] = {
        "error": (got.error, None),
        "reasoning": (got.reasoning, expected.reasoning),
        "content": (got.content, expected.content),
        "finish": (got.finish, expected.finish),
    }
    for name in ("prompt_tokens", "completion_tokens", "completion_tokens_details"):
        pairs[name] = (got.usage.get(name), expected.usage[name])
    return [f"{name}: {a!r}, not {b!r}" for name, (a, b) in pairs.items() if a != b]


def kill_often(
    engines: Sequence[Engine], gateway: Gateway, kills: int, rng: random.Random, at_once: int = 4
) -> Result:
    """Kill `kills` times, each time a server that works on some answer."""
    result = Result()
    url = gateway.url + "/v1"
    with openai.OpenAI(base_url=url, api_key=gateway.key, max_retries=0, timeout=600) as client:
        uncut = {question: ask(client, question, Answer()) for question in QUESTIONS}
        for question, answer in uncut.items():
            assert answer.finish == "stop", (question, answer)
        while result.kills < kills:
            victim = engines[result.kills % 2]
            questions = rng.choices(QUESTIONS, k=at_once)
            answers = [Answer() for _ in questions]
            leader = answers[0]
            at = rng.randint(1, max(2, uncut[questions[0]].chunks - 10))
            before = gateway.value("r1_resumes_total", outcome="ok")
            with ThreadPoolExecutor(at_once) as pool:
                running = [
                    pool.submit(ask, client, question, answer)
                    for question, answer in zip(questions, answers, strict=True)
                ]
                reached = threading.Event()
                while not reached.is_set() and not running[0].done():
                    if leader.chunks >= at:
                        reached.set()
                    time.sleep(0.0005)
                hit = victim.running() > 0
                thinking = sum(not each.content and each.finish is None for each in answers)
                if hit:
                    victim.kill(core_only=result.kills % 4 >= 2)
            result.streams += at_once
            for question, answer in zip(questions, answers, strict=True):
                result.wrong += [
                    f"{question!r}: {fault}" for fault in faults(answer, uncut[question])
                ]
            if hit:
                resumed = int(gateway.value("r1_resumes_total", outcome="ok") - before)
                result.kills += resumed > 0
                result.resumed += resumed
                result.thinking += min(resumed, thinking)
                victim.start()
                victim.wait_ready()
                wait_for(lambda: gateway.value("r1_upstream_up") == 2, "both engines", 60)
    return result


def main() -> int:
    """Command line: prints what was measured."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    rng = random.Random(os.environ.get("R1_KILLS_SEED", "r1"))
    with tempfile.TemporaryDirectory() as folder, setting(Path(folder)) as (engines, gateway):
        result = kill_often(engines, gateway, kills, rng)
    print(f"kills: {result.kills}")
    print(f"streams: {result.streams}, of which continued at the other server: {result.resumed}")
    print(f"kills while answers were inside their think block: {result.thinking}")
    print(f"differences from the uncut answers: {len(result.wrong)}")
    for each in result.wrong:
        print(f"  {each}")
    return 1 if result.wrong or result.kills < kills else 0


if __name__ == "__main__":
    raise SystemExit(main())
