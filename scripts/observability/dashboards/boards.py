"""All dashboards, in the order in which they are read."""

from scripts.observability.dashboards.autoscaling import AUTOSCALING
from scripts.observability.dashboards.batching import BATCHING
from scripts.observability.dashboards.cache import CACHE
from scripts.observability.dashboards.cost import COST
from scripts.observability.dashboards.engine import ENGINE
from scripts.observability.dashboards.gpus import GPUS
from scripts.observability.dashboards.latency import LATENCY
from scripts.observability.dashboards.logs import LOGS
from scripts.observability.dashboards.overview import OVERVIEW
from scripts.observability.dashboards.requests import REQUESTS
from scripts.observability.dashboards.upstreams import UPSTREAMS

BOARDS = (
    OVERVIEW,
    REQUESTS,
    LATENCY,
    CACHE,
    BATCHING,
    UPSTREAMS,
    ENGINE,
    GPUS,
    AUTOSCALING,
    COST,
    LOGS,
)
