"""An engine whose steps were measured, for the queueing layer in place of a calculated one."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.plan.roofline import Work


@dataclass(frozen=True, slots=True)
class Measured:
    """Step times that are linear in the sequences and prompt tokens of a step. One rank."""

    step_s: float
    per_sequence_s: float
    per_prefill_token_s: float
    request_s: float
    """Seconds of a request outside the engine's steps."""
    max_num_seqs: float
    max_batched_tokens: float
    kv_tokens: float
    ranks: int = 1
    tokens_per_step: float = 1.0

    def seconds(self, work: Work) -> float:
        """Duration of a step."""
        prefill = work.prefill if work.prefill_peak is None else work.prefill_peak
        return (
            self.step_s + self.per_sequence_s * work.decoding + self.per_prefill_token_s * prefill
        )

    def most_sequences(self, context: float) -> float:
        """Sequences of `context` tokens that the rank can hold at once."""
        return min(self.max_num_seqs, self.kv_tokens / context)


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Intercept and slope of least squares through (x, y) points, neither below 0.

    Raises:
        ValueError: all points have one x.
    """
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        raise ValueError("a line needs points at two places")
    slope = max(0.0, sum((x - mean_x) * (y - mean_y) for x, y in points) / spread)
    return max(0.0, mean_y - slope * mean_x), slope
