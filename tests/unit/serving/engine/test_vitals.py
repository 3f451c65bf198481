"""What is heard of an engine's steps."""

from types import SimpleNamespace
from typing import Any

from serving.engine.vitals import Vitals, hears, listen


def stats(running: int, queries: int, hits: int) -> Any:
    cache = SimpleNamespace(queries=queries, hits=hits)
    return SimpleNamespace(
        num_running_reqs=running, num_waiting_reqs=1, kv_cache_usage=0.5, prefix_cache_stats=cache
    )


def test_each_step_counts_and_the_cache_s_share_is_of_all_tokens() -> None:
    vitals = Vitals()
    assert vitals.prefix_hits == 0.0
    vitals.record(stats(2, 100, 0), None)
    vitals.record(stats(3, 100, 100), None, mm_cache_stats=None, engine_idx=0)
    vitals.record(None, None)
    assert (vitals.steps, vitals.running, vitals.waiting) == (3, 3, 1)
    assert (vitals.kv_used, vitals.prefix_hits) == (0.5, 0.5)


def test_an_engine_without_statistics_can_not_be_heard() -> None:
    client: Any = SimpleNamespace(logger_manager=None)
    listen(client, Vitals())
    assert not hears(client)
    heard: Any = SimpleNamespace(logger_manager=SimpleNamespace(stat_loggers=[]))
    vitals = Vitals()
    listen(heard, vitals)
    assert heard.logger_manager.stat_loggers == [vitals]
    assert hears(heard)
