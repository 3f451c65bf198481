"""What users ask of a deployment: how much, how long, how alike."""

import math
from dataclasses import dataclass, field
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Lengths:
    """Numbers of tokens: lognormal with this mean; `spread` is the logarithm's deviation."""

    mean: float
    spread: float = 0.0

    def quantile(self, share: float) -> float:
        """The number of tokens that `share` of all do not exceed, `share` between 0 and 1."""
        if not self.spread:
            return self.mean
        median = math.log(self.mean) - self.spread**2 / 2
        return math.exp(median + self.spread * NormalDist().inv_cdf(share))


# Answers of a reasoning model: a mean of 4,043 tokens (MLPerf Inference v5.1, DeepSeek-R1), its
# longest tenth more than twice that.
REASONING = Lengths(4043, 0.8)
PROMPT = Lengths(1000, 0.5)


@dataclass(frozen=True, slots=True)
class Load:
    """Requests, as users' number or as their rate; one of the two.

    Raises:
        ValueError: not one of users and requests_per_s, or a number out of its range.
    """

    users: float | None = None
    """Requests in flight at once."""
    requests_per_s: float | None = None
    """Poisson arrivals."""
    prompt: Lengths = field(default_factory=lambda: PROMPT)
    answer: Lengths = field(default_factory=lambda: REASONING)
    prefix_hits: float = 0.0
    """Share of prompt tokens that the prefix cache already has, 0 to below 1."""

    def __post_init__(self) -> None:
        if (self.users is None) == (self.requests_per_s is None):
            raise ValueError("give users or requests_per_s, not both and not neither")
        if min(self.users or 1, self.requests_per_s or 1, self.prompt.mean, self.answer.mean) <= 0:
            raise ValueError("users, requests_per_s and lengths must be above 0")
        if not 0 <= self.prefix_hits < 1:
            raise ValueError("prefix_hits must be from 0 to below 1")

    @property
    def computed(self) -> float:
        """Prompt tokens of a request that the cache does not have, on average."""
        return self.prompt.mean * (1 - self.prefix_hits)

    @property
    def context(self) -> float:
        """Tokens in the KV cache of a decoding request, seen at a random moment."""
        # Of two answers the longer one is seen for longer: E[n²] / 2 E[n].
        return self.prompt.mean + self.answer.mean * math.exp(self.answer.spread**2) / 2
