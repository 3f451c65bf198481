"""A real Prometheus for tests: scrapes what it is told, every second, with the project's rules."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.stack import HTTP, Process, answers, free_port, wait_for

PACKAGE = "prometheus"


@dataclass(frozen=True)
class Job:
    """One scrape job: fixed addresses, or the URL of a list of targets."""

    name: str
    targets: Sequence[str] = ()
    listed_at: str = ""
    path: str = "/metrics"
    labels: Mapping[str, str] = field(default_factory=dict)
    honor_labels: bool = False

    def config(self) -> dict[str, Any]:
        """As Prometheus' configuration has it."""
        found: dict[str, Any] = {
            "job_name": self.name,
            "metrics_path": self.path,
            "honor_labels": self.honor_labels,
        }
        if self.listed_at:
            found["http_sd_configs"] = [{"url": self.listed_at, "refresh_interval": "1s"}]
            found["relabel_configs"] = [
                {"target_label": label, "replacement": value}
                for label, value in self.labels.items()
            ]
        else:
            found["static_configs"] = [{"targets": list(self.targets), "labels": dict(self.labels)}]
        return found


class Prometheus(Process):
    """One server with a folder of its own; it keeps nothing beyond its test."""

    def __init__(
        self,
        folder: Path,
        jobs: Sequence[Job],
        rules: str = "",
        *,
        every_s: float = 1.0,
    ) -> None:
        """Start it; `rules` is the text of a file of rules."""
        binary = shutil.which("prometheus")
        if binary is None:
            pytest.skip(f"no Prometheus here: apt-get install {PACKAGE}")
        folder.mkdir(parents=True, exist_ok=True)
        interval = f"{round(every_s * 1000)}ms"
        config: dict[str, Any] = {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
            },
            "scrape_configs": [job.config() for job in jobs],
        }
        if rules:
            (folder / "rules.yaml").write_text(rules)
            config["rule_files"] = [str(folder / "rules.yaml")]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [binary, f"--config.file={folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn"]
        command += [f"--web.listen-address=127.0.0.1:{port}"]
        command += ["--enable-feature=exemplar-storage"]
        super().__init__(command, folder / "prometheus.log")
        wait_for(lambda: answers(self.url + "/-/ready"), "Prometheus")

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """The vector that an expression gives now.

        Raises:
            AssertionError: Prometheus does not take it; the message has its reason.
        """
        told: dict[str, Any] = {"query": expr} | ({"time": at} if at is not None else {})
        answer = HTTP.post(self.url + "/api/v1/query", data=told, timeout=30).json()
        assert answer["status"] == "success", f"{expr}: {answer.get('error')}"
        result = answer["data"]["result"]
        if answer["data"]["resultType"] == "scalar":
            return [{"metric": {}, "value": result}]
        found: list[dict[str, Any]] = result
        return found

    def value(self, expr: str) -> float | None:
        """The first value of an expression, if it gives any."""
        found = self.query(expr)
        return float(found[0]["value"][1]) if found else None

    def rules(self) -> list[dict[str, Any]]:
        """All rules as Prometheus runs them."""
        answer = HTTP.get(self.url + "/api/v1/rules", timeout=30).json()
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]

    def firing(self) -> dict[str, str]:
        """The severities of the alerts that fire, by their names."""
        answer = HTTP.get(self.url + "/api/v1/alerts", timeout=30).json()
        return {
            alert["labels"]["alertname"]: alert["labels"].get("severity", "")
            for alert in answer["data"]["alerts"]
            if alert["state"] == "firing"
        }

    def down(self) -> list[str]:
        """The targets whose last scrape failed, or that were not scraped yet."""
        answer = HTTP.get(self.url + "/api/v1/targets?state=active", timeout=30).json()
        return [
            f"{target['scrapeUrl']}: {target['lastError'] or 'not scraped yet'}"
            for target in answer["data"]["activeTargets"]
            if target["health"] != "up"
        ]

    def wait_scraped(self, timeout_s: float = 30.0) -> None:
        """Until every target was scraped."""
        try:
            wait_for(lambda: not self.down(), "all targets", timeout_s)
        except AssertionError:
            raise AssertionError(f"not scraped: {self.down()}") from None
