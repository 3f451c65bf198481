"""What users are owed: limits on quantiles of times."""

from dataclasses import dataclass
from typing import Literal

from serving.plan.outlook import Outlook

Metric = Literal["ttft", "itl", "e2e"]


@dataclass(frozen=True, slots=True)
class Target:
    """This quantile of this time stays within the limit."""

    metric: Metric
    limit_s: float
    share: float = 0.99

    def reached(self, outlook: Outlook) -> float:
        """The predicted time in seconds."""
        times = {"ttft": outlook.ttft_s, "itl": outlook.itl_s, "e2e": outlook.e2e_s}
        return times[self.metric](self.share)

    def excess(self, outlook: Outlook) -> float:
        """Predicted time over the limit; above 1 it is missed."""
        return self.reached(outlook) / self.limit_s

    def __str__(self) -> str:
        """In words."""
        return f"{self.metric.upper()} p{self.share * 100:g} within {self.limit_s * 1e3:,.0f} ms"
