"""Where a local plane listens."""

from pathlib import Path

import pytest

from serving.local.config import LocalPlane, load
from serving.local.serve_config import serve_config

# The one that a container gets.
FILE = Path(__file__).parents[4] / "deploy" / "compose" / "serving.json"


@pytest.mark.parametrize(
    ("host", "http"),
    [("127.0.0.1", "127.0.0.1"), ("172.17.0.4", "0.0.0.0"), ("serving", "0.0.0.0")],
)
def test_http_is_on_loopback_also_where_others_ask_it(host: str, http: str) -> None:
    """HAProxy asks the replicas of its own node at 127.0.0.1, whatever the node's address is."""
    plane: LocalPlane = load(FILE).model_copy(update={"host": host})
    assert serve_config(plane)["http_options"]["host"] == http
