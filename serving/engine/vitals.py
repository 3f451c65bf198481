"""What a replica knows of its engine while it runs, and how it makes it take a step."""

import uuid
from contextlib import suppress
from typing import Any


class Vitals:
    """Hears of each step of vLLM's engine: one of its stat loggers, in all but the base class.

    `steps` counts them; `kv_used` is the share of the KV cache in use, 0 to 1.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.running = 0
        self.waiting = 0
        self.kv_used = 0.0
        self._asked = 0
        self._found = 0

    @property
    def prefix_hits(self) -> float:
        """Share of all prompt tokens so far that were in the prefix cache, 0 to 1."""
        return self._found / self._asked if self._asked else 0.0

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        """Take in a step: vLLM's SchedulerStats of it, or None where it has none."""
        self.steps += 1
        if scheduler_stats is None:
            return
        self.running = scheduler_stats.num_running_reqs
        self.waiting = scheduler_stats.num_waiting_reqs
        self.kv_used = scheduler_stats.kv_cache_usage
        self._asked += scheduler_stats.prefix_cache_stats.queries
        self._found += scheduler_stats.prefix_cache_stats.hits

    def log(self) -> None:
        """Part of vLLM's interface: there is nothing to print."""

    def log_engine_initialized(self) -> None:
        """Part of vLLM's interface: there is nothing to print."""

    def record_sleep_state(self, is_awake: int, level: int) -> None:
        """Part of vLLM's interface: no engine sleeps here."""


def listen(client: Any, vitals: Vitals) -> None:
    """Have `vitals` hear of the steps of vLLM's AsyncLLM from now on.

    Where the deployment switched its statistics off (`disable_log_stats`) there is nothing to
    hear.
    """
    if client.logger_manager is not None:
        client.logger_manager.stat_loggers.append(vitals)


def hears(client: Any) -> bool:
    """Whether anybody can hear of its steps."""
    return client.logger_manager is not None


def unfinished(client: Any) -> int:
    """Requests that vLLM's AsyncLLM has not finished."""
    return int(client.output_processor.get_num_unfinished_requests())


async def ask_for_a_token(client: Any) -> None:
    """Have the engine make one token, on all its ranks, for nobody.

    It comes back when the token is there, which may be never. A dead engine is no news here:
    vLLM's own health check tells.
    """
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt
    from vllm.v1.engine.exceptions import EngineDeadError

    prompt = TokensPrompt(prompt_token_ids=[0])
    parameters = SamplingParams(max_tokens=1, temperature=0.0)
    with suppress(EngineDeadError):
        async for _ in client.generate(prompt, parameters, f"r1-probe-{uuid.uuid4().hex}"):
            pass
