import os
from pathlib import Path

import pytest

from serving.errors import WeightsError
from serving.weights.cache import NodeCache
from serving.weights.progress import GB, Progress


def put(cache: NodeCache, name: str, size: int, used: float) -> None:
    (cache.root / name).mkdir()
    (cache.root / name / "a").write_bytes(b"x" * size)
    with cache.fetching(name):
        os.close(cache.hold(name))
    os.utime(cache.root / f"{name}.used", (used, used))


def names(cache: NodeCache) -> set[str]:
    return {entry.name for entry in cache.entries()}


def test_the_least_recently_used_is_dropped(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, limit_bytes=1000)
    put(cache, "old", 400, used=1)
    put(cache, "young", 400, used=2)
    assert cache.make_room("new", 300) == ["old"]
    assert names(cache) == {"young"}
    assert cache.make_room("new", 600) == []


def test_what_a_process_serves_from_stays(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, limit_bytes=1000)
    put(cache, "old", 400, used=1)
    put(cache, "young", 400, used=2)
    held = cache.hold("old")
    os.utime(tmp_path / "old.used", (1, 1))
    assert cache.make_room("new", 300) == ["young"]
    with pytest.raises(WeightsError, match=r"nothing else can be dropped.*R1_WEIGHTS_CACHE_GB"):
        cache.make_room("new", 900)
    os.close(held)
    assert cache.make_room("new", 900) == ["old"]


def test_a_full_disk_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="give more disk"):
        NodeCache(tmp_path).make_room("new", 10**18)


def test_only_whole_models_of_its_own_are_entries(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, limit_bytes=1000)
    with cache.fetching("a"):
        (tmp_path / "a.partial").mkdir()
    (tmp_path / "holiday-pictures").mkdir()
    assert cache.entries() == []
    put(cache, "b", 900, used=1)
    assert cache.make_room("c", 500) == ["b"]
    assert (tmp_path / "holiday-pictures").is_dir()


def test_the_environment_names_folder_and_limit(tmp_path: Path) -> None:
    cache = NodeCache.of({"R1_WEIGHTS_CACHE": str(tmp_path / "c"), "R1_WEIGHTS_CACHE_GB": "1.5"})
    assert cache.root == tmp_path / "c"
    put(cache, "a", 10, used=1)
    assert cache.make_room("b", int(1.5 * GB)) == ["a"]
    assert NodeCache.of({"XDG_CACHE_HOME": str(tmp_path)}).root == tmp_path / "r1" / "weights"
    with pytest.raises(WeightsError, match="give gigabytes"):
        NodeCache.of({"R1_WEIGHTS_CACHE": str(tmp_path), "R1_WEIGHTS_CACHE_GB": "much"})
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="R1_WEIGHTS_CACHE"):
        NodeCache.of({"R1_WEIGHTS_CACHE": str(tmp_path / "file")})


def test_progress_is_told_with_rate_and_time_left() -> None:
    half = Progress("fetch", done=50 * GB, total=100 * GB, seconds=10, fresh=10 * GB)
    assert half.sentence() == "fetching weights: 50 % of 100.0 GB, 1000 MB/s, 50 s left"
    slow = Progress("fetch", done=0, total=100 * GB, seconds=10, fresh=GB)
    assert slow.sentence().endswith("100 MB/s, 17 min left")
    assert "checking" in Progress("verify", 1, 1).sentence()
    assert "another process" in Progress("waiting").sentence()
