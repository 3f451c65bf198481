"""No request, however wrong, is answered with a fault of the gateway: a sample of what
`make prove` does a hundred thousand times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.safety.fuzz import fuzz, make_gateway, tracebacks
from tests.contract.stack import RedisServer, Simulator


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
def test_no_request_is_worse_than_refused(tmp_path: Path, redis: RedisServer) -> None:
    engine = Simulator(tmp_path)
    gateway = make_gateway(tmp_path, redis, engine)
    try:
        tally = fuzz(gateway, 1500, by_document=80)
        assert tally.statuses.total() >= 1500
        assert tally.bad == []
        assert tracebacks(gateway) == 0
        # Most are wrong, and some are not.
        assert tally.statuses[400] > 500
        assert tally.statuses[200] > 20
        assert gateway.post().status_code == 200
        assert gateway.value("r1_inflight_requests") == 0
    finally:
        gateway.end()
        engine.end()
