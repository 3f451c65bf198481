"""What Ray Serve is to be told, as it stands: pure.

A change of an application's arguments starts all of its replicas anew, their number among them. So
where nothing but the number differs, Serve is told the number alone, as it allows beside them.
"""

from collections.abc import Mapping
from typing import Any

NUMBERS = ("replicas", "surge_percent")
"""Arguments that change no engine."""


def configuration(serve: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    """The serveConfigV2 to apply in place of `serve`, where `there` are Serve's applications."""
    return {
        **serve,
        "applications": [
            _told(each, there.get(each["name"], {})) for each in serve["applications"]
        ],
    }


def differing(serve: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """Names of the applications that Serve doesn't have as `configuration` has them.

    Serve adds to a configuration what it defaults to, so what is compared is what was given.
    """
    given = {each["name"]: each for each in serve["applications"]}
    wrong = [name for name, told in given.items() if not _has(_deployed(there.get(name, {})), told)]
    return sorted([*wrong, *(name for name in there if name not in given)])


def _told(given: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    deployed = _deployed(there)
    before, now = deployed.get("args") or {}, given["args"]
    number = now.get("replicas")
    same = _engine(before) == _engine(now) and _rest(deployed, given)
    deployments = there.get("deployments") or {}
    as_given = before == now and "deployments" not in deployed
    if as_given or not same or number is None or len(deployments) != 1:
        return dict(given)
    ((name, details),) = deployments.items()
    number *= gang_size(details)
    return {**given, "args": before, "deployments": [{"name": name, "num_replicas": number}]}


def gang_size(deployment: Mapping[str, Any]) -> int:
    """Replicas of a deployment that are one engine: those of a data-parallel group."""
    scheduling = (deployment.get("deployment_config") or {}).get("gang_scheduling_config")
    return int((scheduling or {}).get("gang_size", 1))


def _deployed(there: Mapping[str, Any]) -> Mapping[str, Any]:
    return there.get("deployed_app_config") or {}


def _engine(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What of an application's arguments makes its engines."""
    return {name: value for name, value in arguments.items() if name not in NUMBERS}


def _rest(deployed: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return all(deployed.get(name) == value for name, value in given.items() if name != "args")


def _has(deployed: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    return all(deployed.get(name) == value for name, value in told.items())
