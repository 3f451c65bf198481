"""A new configuration while requests run: on SIGHUP, or when a file has changed."""

from __future__ import annotations

import secrets
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest
import yaml

from gateway.auth.keys import make_key
from tests.contract.stack import (
    HTTP,
    START_S,
    Gateway,
    RedisServer,
    Simulator,
    chat,
    read_stream,
    stream,
    wait_for,
)

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, redis: RedisServer, model_server: Simulator
) -> Iterator[Gateway]:
    """Two workers; each test leaves the configuration that it made."""
    process = Gateway(
        tmp_path_factory.mktemp("reload"),
        redis,
        [{"url": model_server.url}],
        listen={"workers": 2},
    )
    yield process
    assert process.end() == 0


def configure(gateway: Gateway, change: Callable[[dict[str, Any]], None]) -> None:
    """Put another configuration into the place of the one that is there."""
    data = yaml.safe_load(gateway.config.read_text())
    change(data)
    beside = gateway.config.with_suffix(".new")
    beside.write_text(yaml.safe_dump(data))
    beside.rename(gateway.config)


def add_alias(gateway: Gateway, name: str) -> None:
    configure(gateway, lambda data: data["models"][0]["aliases"].append(name))


def knows(gateway: Gateway, name: str) -> bool:
    answer = HTTP.post(
        gateway.url + "/v1/chat/completions",
        json=chat(model=name, max_tokens=1),
        headers=gateway.headers,
        timeout=30,
    )
    return answer.status_code == 200


def reloads(gateway: Gateway, result: str) -> float:
    return gateway.value("r1_config_reloads_total", result=result)


class Callers:
    """Threads that call without a pause until they are told to stop; what went wrong is kept."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._stop = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._call, args=(kept,)) for kept in (5, 5, 0, 0)]
        for each in self._threads:
            each.start()

    def _call(self, kept: int) -> None:
        limits = httpx.Limits(max_keepalive_connections=kept)
        with httpx.Client(trust_env=False, verify=False, limits=limits) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post(
                        self._gateway.url + "/v1/chat/completions",
                        json=chat(max_tokens=1),
                        headers=self._gateway.headers,
                        timeout=30,
                    )
                    outcome = str(answer.status_code)
                except httpx.HTTPError as error:
                    outcome = type(error).__name__
                self.outcomes[outcome] += 1

    def stop(self) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()


def test_a_reload_drops_no_request_and_cuts_no_stream(
    gateway: Gateway, model_server: Simulator
) -> None:
    text = "y" * 60
    model_server.control(step_s=0.05, content=text)
    old = gateway.worker_pids()
    began = gateway.value("r1_requests_total", code="200")
    answers: list[list[str]] = []

    def read() -> None:
        with stream(gateway) as response:
            answers.append(read_stream(response))

    readers = [threading.Thread(target=read) for _ in range(6)]
    for each in readers:
        each.start()
    wait_for(lambda: model_server.seen()["running"] >= 6, "the streams")
    callers = Callers(gateway)
    counted = [gateway.value("r1_requests_total")]
    add_alias(gateway, "fresh")
    gateway.child.send_signal(signal.SIGHUP)
    wait_for(lambda: knows(gateway, "fresh"), "the new configuration", START_S)
    while any(psutil.pid_exists(pid) for pid in old):
        counted.append(gateway.value("r1_requests_total"))
    for each in readers:
        each.join()
    callers.stop()
    assert all(events[-1] == "[DONE]" for events in answers)
    assert ["".join(map(str, events)).count('"content":"y"') for events in answers] == [60] * 6
    assert set(callers.outcomes) == {"200"}
    assert len(gateway.events("reloaded")) == 1
    assert len(set(gateway.worker_pids()) - set(old)) == 2
    # What the old workers counted is still there: the callers', the streams', and `knows`.
    assert counted == sorted(counted)
    total = gateway.value("r1_requests_total", code="200") - began
    assert total == callers.outcomes["200"] + len(answers) + 1
    assert gateway.value("r1_inflight_requests") == 0


def test_a_change_of_a_file_is_enough_and_may_come_by_a_swapped_link(
    gateway: Gateway, model_server: Simulator
) -> None:
    model_server.reset()
    before = reloads(gateway, "ok")
    folder = gateway.config.parent
    for number in (1, 2):
        (folder / f"..{number}").mkdir()
        (folder / f"..{number}" / "gateway.yaml").write_text(gateway.config.read_text())
    # As Kubernetes mounts a ConfigMap: the file is a link through ..data, which gets swapped.
    (folder / "..data").symlink_to("..1")
    (folder / "link").symlink_to("..data/gateway.yaml")
    (folder / "link").rename(gateway.config)
    data = yaml.safe_load(gateway.config.read_text())
    data["models"][0]["aliases"].append("swapped")
    (folder / "..2" / "gateway.yaml").write_text(yaml.safe_dump(data))
    (folder / "..new").symlink_to("..2")
    (folder / "..new").rename(folder / "..data")
    wait_for(lambda: knows(gateway, "swapped"), "the new configuration", START_S)
    wait_for(lambda: len(gateway.worker_pids()) == 2, "the old workers to end")
    assert reloads(gateway, "ok") == before + 1
    gateway.config.unlink()
    gateway.config.write_text(yaml.safe_dump(data))


def test_a_wrong_configuration_is_refused_and_mended_by_itself(
    gateway: Gateway, model_server: Simulator
) -> None:
    model_server.reset()
    workers, before = set(gateway.worker_pids()), reloads(gateway, "ok")
    good = gateway.config.read_text()
    refused: list[list[str]] = []

    def refuse(change: Callable[[dict[str, Any]], None]) -> list[str]:
        configure(gateway, change)
        wait_for(lambda: len(gateway.events("reload_refused")) > len(refused), "the refusal")
        refused.append(gateway.events("reload_refused")[-1]["faults"])
        return refused[-1]

    assert "listen.workers: " in refuse(lambda data: data["listen"].update(workers=0))[0]
    gateway.config.write_text(good)
    free = {"port": gateway.port + 1}
    fault = refuse(lambda data: data["listen"].update(free))[0]
    assert fault.startswith("listen.port: needs a restart")
    gateway.config.write_text(good)
    # A file that does not exist yet may come later than the configuration that names it.
    late = gateway.config.parent / "late.key"

    def name_it(data: dict[str, Any]) -> None:
        data["models"][0]["upstreams"][0]["key_file"] = late.name

    assert refuse(name_it)[0].startswith("models.0.upstreams.0.key_file: ")
    assert gateway.post().status_code == 200
    assert (set(gateway.worker_pids()), reloads(gateway, "ok")) == (workers, before)
    late.write_text("engine-secret")
    wait_for(lambda: reloads(gateway, "ok") > before, "the new configuration", START_S)
    assert gateway.post().status_code == 200
    assert reloads(gateway, "refused") == len(refused) == 3
    # And the secret is changed where it is.
    late.write_text("another-secret")
    wait_for(lambda: reloads(gateway, "ok") > before + 1, "the new secret", START_S)
    wait_for(lambda: not workers & set(gateway.worker_pids()), "the old workers to end")


def test_two_reloads_at_once_give_the_last(gateway: Gateway, model_server: Simulator) -> None:
    model_server.reset()
    add_alias(gateway, "first")
    gateway.child.send_signal(signal.SIGHUP)
    add_alias(gateway, "second")
    configure(gateway, lambda data: data["listen"].update(workers=1))
    gateway.child.send_signal(signal.SIGHUP)
    wait_for(lambda: knows(gateway, "second"), "the last configuration", START_S)
    wait_for(lambda: len(gateway.worker_pids()) == 1, "the old workers to end", START_S)
    assert knows(gateway, "first")


def test_keys_are_declared_again(gateway: Gateway, model_server: Simulator) -> None:
    model_server.reset()
    declared = gateway.config.parent / "keys.yaml"
    texts = [make_key(secrets.choice) for _ in range(2)]
    headers = [{"authorization": f"Bearer {text}"} for text in texts]

    def declare(count: int) -> None:
        keys = [
            {"name": f"declared-{number}", "tenant": "acme", "key": text}
            for number, text in enumerate(texts[:count])
        ]
        declared.write_text(yaml.safe_dump({"keys": keys}))

    def works(number: int) -> bool:
        answer = HTTP.get(gateway.url + "/v1/models", headers=headers[number], timeout=30)
        return answer.status_code == 200

    declare(1)
    configure(gateway, lambda data: data["auth"].update(bootstrap_file=declared.name))
    wait_for(lambda: works(0), "the first key", START_S)
    assert not works(1)
    # The file that is named is watched too.
    declare(2)
    wait_for(lambda: works(1), "the second key", START_S)
