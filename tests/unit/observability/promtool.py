"""promtool's own unit tests, made of worlds: what was scraped, and which alerts must fire.

Worlds that are evaluated alike are one test, each in a namespace of its own: hundreds of rules cost
far more than a few thousand series.
"""

import math
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

World = Mapping[str, Any]
_AT = "24m"
_SAMPLES = "1m"
_EVALUATIONS = "2m"
_SECONDS = {"m": 60, "h": 3600}


def program() -> str:
    """promtool's path; skips the test where there is none."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("no promtool: apt-get install prometheus (RUNLEVEL=1 starts no service)")
    return found


def given(name: str) -> Any:
    """A YAML file of this folder, all scalars as text: to YAML 0x9 is a number."""
    path = Path(__file__).parent / name
    return yaml.load(path.read_text("utf-8"), Loader=yaml.CBaseLoader)


WORLDS: dict[str, Any] = given("worlds.yaml")


def run(*words: str | Path) -> str:
    """promtool's output, which must call it a success."""
    done = subprocess.run([program(), *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(folder: Path, groups: Sequence[Mapping[str, Any]], worlds: Sequence[World]) -> None:
    """Look at worlds with these groups of rules: what fires in each is what it says, no more."""
    (folder / "rules.yaml").write_text(yaml.dump({"groups": list(groups)}, Dumper=yaml.CSafeDumper))
    numbered = list(enumerate(worlds))
    files = []
    for every in {each.get("evaluate", _EVALUATIONS) for each in worlds}:
        mine = [each for each in numbered if each[1].get("evaluate", _EVALUATIONS) == every]
        told = {
            "rule_files": ["rules.yaml"],
            "evaluation_interval": every,
            "group_eval_order": [each["name"] for each in groups],
            "tests": _tests(mine),
        }
        files.append(folder / f"tests-{every}.yaml")
        files[-1].write_text(yaml.dump(told, Dumper=yaml.CSafeDumper))
    run("test", "rules", *files)


def _tests(worlds: Sequence[tuple[int, World]]) -> list[dict[str, Any]]:
    """Tests of worlds: those with the same time between samples together, the bare ones alone."""
    together: dict[str, list[tuple[int, World]]] = {}
    for number, world in worlds:
        key = world["name"] if "bare" in world else world.get("interval", _SAMPLES)
        together.setdefault(key, []).append((number, world))
    return [
        {
            "interval": several[0][1].get("interval", _SAMPLES),
            "input_series": [each for one in several for each in _series(*one)],
            "promql_expr_test": [look for one in several for look in _looks(*one)],
        }
        for several in together.values()
    ]


def _looks(number: int, world: World) -> list[dict[str, Any]]:
    """Exactly the alerts of `fires` fire at `at`, none at `quiet_at`."""
    if "recorded" in world:
        return [_recorded(world)]
    looks = [_look(number, world, world.get("at", _AT), world.get("fires", {}))]
    if "quiet_at" in world:
        looks.append(_look(number, world, world["quiet_at"], {}))
    return looks


def _look(number: int, world: World, at: str, fires: Mapping[str, str]) -> dict[str, Any]:
    """What fires at a time: names of alerts with their severities, several of them in a list."""
    here = "" if "bare" in world else f', namespace=~"(gpus|world){number}"'
    firing = f'ALERTS{{alertstate="firing"{here}}}'
    return {
        # `or` so that a failure tells which world it was about.
        "expr": f"clamp_max(count by (alertname, severity) ({firing}), 1) or vector({number})",
        "eval_time": at,
        "exp_samples": [
            *(
                {"labels": f'{{alertname="{alert}", severity="{severity}"}}', "value": 1}
                for alert, severities in fires.items()
                for severity in severities.split()
            ),
            {"labels": "{}", "value": number},
        ],
    }


def _recorded(world: World) -> dict[str, Any]:
    """All recorded series and their values, in millionths: promtool compares bit by bit."""
    samples = []
    for each, value in world["recorded"].items():
        name, _, labels = each.partition("{")
        own = _own(f'{{series="{name}", {labels}', 0)
        samples.append({"labels": own, "value": math.floor(float(value) * 1e6 + 0.5)})
    everything = '{__name__=~"r1:.+"}'
    return {
        "expr": f'round(label_replace({everything}, "series", "$1", "__name__", "(.+)") * 1e6)',
        "eval_time": _AT,
        "exp_samples": samples,
    }


def _series(number: int, world: World) -> list[dict[str, str]]:
    """All that was scraped in a world, no longer than it is looked at, with names of its own."""
    base = {} if "bare" in world else WORLDS["healthy"]
    if only := world.get("only"):
        base = {name: values for name, values in base.items() if name.partition("{")[0] in only}
    changed = {**base, **world.get("series", {})}
    most = _seconds(world.get("at", _AT)) // _seconds(world.get("interval", _SAMPLES))
    return [
        {"series": _own(name, number), "values": _cut(values, most)}
        for name, values in changed.items()
        if values != "null"
    ]


def _own(series: str, number: int) -> str:
    series = series.replace('="r1"', f'="world{number}"').replace('="gpus"', f'="gpus{number}"')
    return series.replace("192.168.0.", f"192.168.{number}.")


def _cut(values: str, most: int) -> str:
    """Values with their last repetition cut; promtool takes 0x9 for a hexadecimal number."""
    cut = re.sub(r"x(\d+)$", lambda last: f"x{min(int(last[1]), most)}", values)
    return re.sub(r"(^| )0x", r"\g<1>0+0x", cut)


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * _SECONDS[duration[-1]]
