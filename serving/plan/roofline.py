"""How long one step of an engine takes: the roofline of each part, summed.

A part takes the longer of reading its bytes and multiplying; a half layer never takes less than
its kernels need one after the other (launch, ramp and tail of each). What was fitted is in
`Factors`, everything else is counted.
"""

import math
from dataclasses import dataclass

from serving.engine.memory import Layout
from serving.plan.communication import (
    BETWEEN_LATENCY_S,
    HIDDEN_SHARE,
    all_reduce_s,
    all_to_all_s,
)
from serving.plan.figures import HardwareFigures, ModelFigures, Part

ROW_PASSES = 24
"""Times that a layer's kernels read or write a token's hidden state in bfloat16: norms with their
residuals 8, quantising 3, attention's inputs and outputs 7, sum and copies of collectives 6."""
EXPERT_ROW_BYTES = 7
"""Bytes a hidden element that a chosen expert moves for one token: gathered in FP8 (read, written,
read by the multiplication), result written and read in bfloat16."""
TILE_DEPTH = 600
"""Elements of an FP8 sum in the time that a tile needs to start and to end: DeepGEMM's README has
1,297 TFLOPS for sums of 7,168 and 1,099 for 2,048, and half of that for 512."""
TILE_ROWS, NARROW_ROWS = 64, 16
"""Rows of a tile, and of one for experts with few tokens: an expert's tokens are rounded up to
whole tiles, by half of one on average (vLLM's tuned configurations of its fused kernel)."""
BALANCED = 1.15
"""Tokens of the expert-parallel rank that has most, over the mean, with EPLB: balancing each batch
as well gives up to 7 % in all (lmsys.org, Waterfill and LPLB, June 2026), where about half of a
step is experts and their exchange."""
UNBALANCED = 3.1
"""The same without EPLB is 1 + this / sqrt(experts of a rank): EPLB made prefill on 32 ranks of 8
experts 1.49 times as fast (lmsys.org, large-scale EP, May 2025)."""
FIRST_DRAFT = 0.85
"""Drafts of the MTP layer that are accepted: 85 to 90 % (arXiv 2412.19437, 5.4.3)."""
NEXT_DRAFT = 0.8
"""How much less often each further draft of the same layer is: three drafts then give 2.7 tokens a
step, which with their own cost is the 2.16 times of TensorRT-LLM's MTP report."""


@dataclass(frozen=True, slots=True)
class Factors:
    """What was fitted to published figures (serving/plan/calibration.py)."""

    memory: float
    """Of the memory bandwidth that kernels reach."""
    compute: float
    """Of the dense operations a second that they reach."""
    kernel_s: float
    """Least seconds of one kernel in a chain of small ones."""
    request_s: float
    """Seconds of a request outside the engine's steps: HTTP, tokens, scheduling."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one step computes on each data-parallel rank."""

    decoding: float = 0.0
    """Sequences that get their next token."""
    context: float = 0.0
    """Mean tokens in the KV cache of each of these."""
    prefill: float = 0.0
    """Prompt tokens, mean over the ranks."""
    prompt: float = 0.0
    """Tokens of the whole prompts that these belong to."""
    prefill_peak: float | None = None
    """Prompt tokens on the rank that has most, which all others wait for; the mean if None."""


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds of one step, by what they go to."""

    attention: float
    feed_forward: float
    experts: float
    head: float
    activations: float
    communication: float
    drafts: float

    @property
    def seconds(self) -> float:
        """All of them."""
        return (
            self.attention
            + self.feed_forward
            + self.experts
            + self.head
            + self.activations
            + self.communication
            + self.drafts
        )


def tokens_per_step(drafts: int) -> float:
    """Tokens that a decode step yields on average with so many drafts."""
    total, kept, rate = 1.0, 1.0, FIRST_DRAFT
    for _ in range(drafts):
        kept *= rate
        total += kept
        rate *= NEXT_DRAFT
    return total


def experts_touched(tokens: float, experts: int, chosen: int) -> float:
    """Different experts of a layer that `tokens` reach, with even routing."""
    return experts * (1 - (1 - chosen / experts) ** tokens) if experts else 0.0


def step(
    work: Work,
    layout: Layout,
    model: ModelFigures,
    hardware: HardwareFigures,
    factors: Factors,
    *,
    drafts: int = 0,
    overlap: bool = False,
) -> Step:
    """Seconds of a step of one engine group.

    Args:
        work: on each data-parallel rank.
        layout: how the group is spread.
        model: the model in its precision.
        hardware: what it runs on.
        factors: efficiencies.
        drafts: tokens that the MTP layer drafts for each sequence.
        overlap: two half batches hide expert exchange behind computing (DBO).
    """
    part = _Parts(layout, model, hardware, factors)
    # A pipeline works on as many batches at a time as it has stages; each passes all of them.
    verified = work.decoding / layout.pipeline * (1 + drafts)
    peak = work.prefill if work.prefill_peak is None else work.prefill_peak
    tokens, hottest = verified + work.prefill, verified + peak
    floor = factors.kernel_s * model.layers
    cache = work.decoding / layout.pipeline * work.context * model.kv_bytes_per_token
    heads = min(layout.tensor, model.kv_heads)
    core_flops = (
        verified * work.context * model.decode_flops_per_context_token
        + peak * work.prompt * model.prefill_flops_per_context_token
    )
    core = max(
        cache / heads / part.bandwidth,
        core_flops / layout.tensor / (hardware.rate(model.attends) * factors.compute),
    )
    attention = max(
        floor * model.kernels_per_layer[0],
        part.seconds(model.attention, hottest, layout.tensor)
        + part.seconds(model.copied, hottest, 1)
        + core,
    )
    experts = part.expert_seconds(tokens * layout.data)
    dense = part.seconds(model.dense, hottest, layout.tensor)
    least = floor * model.kernels_per_layer[1]
    if dense + experts < least:
        dense = least - experts
    sampled = verified + min(1.0, work.prefill)
    head = part.seconds(model.head, sampled, layout.tensor)
    activations = part.activation_seconds(tokens, hottest)
    exchange = 0.0
    if layout.data > 1 and layout.expert:
        share = work.prefill / tokens if tokens else 0.0
        exchange = all_to_all_s(
            tokens,
            layout.data * layout.tensor,
            model,
            hardware,
            prefill_share=share,
        )
        exchange *= imbalance(model.experts, layout.data * layout.tensor, layout.redundant)
        if overlap:
            computing = attention + dense + experts + activations
            exchange -= HIDDEN_SHARE * min(exchange, computing)
    reduce = all_reduce_s(hottest, layout.tensor, model, hardware)
    hops = 2 * (layout.pipeline - 1) * BETWEEN_LATENCY_S
    whole = attention + dense + experts + activations + exchange + reduce
    return Step(
        attention=attention,
        feed_forward=dense,
        experts=experts,
        head=head,
        activations=activations,
        communication=exchange + reduce + hops,
        drafts=drafts * (whole / model.layers + head),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """Rooflines on one rank."""

    layout: Layout
    model: ModelFigures
    hardware: HardwareFigures
    factors: Factors

    @property
    def bandwidth(self) -> float:
        return self.hardware.bandwidth_bytes_s * self.factors.memory

    def seconds(self, part: Part, tokens: float, split: int) -> float:
        """Of a part that every token passes, split over `split` ranks."""
        rate = self.hardware.rate(part.compute) * self.factors.compute
        reading = part.bytes / split / self.bandwidth
        return max(reading, 2 * part.parameters * tokens / split / rate)

    def expert_seconds(self, tokens: float) -> float:
        """Of the routed experts on the rank that touches most, for all tokens of the group."""
        model, layout = self.model, self.layout
        if not model.experts or not tokens:
            return 0.0
        touched = experts_touched(tokens, model.experts, model.chosen)
        ranks = layout.tensor * layout.data if layout.expert else 1
        slices = 1 if layout.expert else layout.tensor
        if not layout.expert:
            tokens /= layout.data
            touched = experts_touched(tokens, model.experts, model.chosen)
        held = (model.experts + layout.redundant) / ranks
        reading = hottest_share(touched, model.experts, ranks, held) * model.expert.bytes / slices
        rate = self.hardware.rate(model.expert.compute) * self.factors.compute
        rows = tokens * model.chosen / ranks
        if layout.expert:
            rows *= imbalance(model.experts, ranks, layout.redundant)
        narrow = rows < TILE_ROWS * touched / ranks
        rows += touched / ranks * (NARROW_ROWS if narrow else TILE_ROWS) / 2
        # A 16-bit sum takes twice the time, a tile's start and end do not.
        depth = TILE_DEPTH if model.expert.compute in {"fp8", "int8", "fp4"} else TILE_DEPTH / 2
        rate /= slicing(model.hidden, model.expert_width / slices, depth)
        return max(reading / self.bandwidth, 2 * model.expert.parameters * rows / slices / rate)

    def activation_seconds(self, tokens: float, hottest: float) -> float:
        """Hidden states that move between memory and kernels."""
        model, layout = self.model, self.layout
        rows = hottest * ROW_PASSES * 2 * model.layers
        spread = layout.tensor if layout.expert else 1
        rows += tokens * model.chosen / spread * EXPERT_ROW_BYTES * model.sparse_layers
        return rows * model.hidden / self.bandwidth


def slicing(hidden: float, width: float, depth: float) -> float:
    """How much longer an expert's multiplications take for their finite depth.

    Two of three sum over `hidden` elements, the last one over `width`, which tensor parallelism
    slices; a tile's start and end cost as much as `depth` elements of its sum.
    """
    return (2 * (1 + depth / hidden) + 1 + depth / width) / 3


def imbalance(experts: int, ranks: int, redundant: int) -> float:
    """Tokens of the expert-parallel rank that has most, over the mean."""
    if ranks == 1:
        return 1.0
    return BALANCED if redundant else 1 + UNBALANCED / math.sqrt(experts / ranks)


def hottest_share(touched: float, experts: int, ranks: int, held: float) -> float:
    """Experts touched on the rank that has most of them.

    A rank's number is nearly binomial; the largest of n is near its mean and sqrt(2 ln n)
    deviations. No rank touches more than it holds.
    """
    mean = touched / ranks
    if ranks == 1:
        return mean
    deviation = math.sqrt(mean * max(0.0, 1 - touched / experts))
    return min(held, mean + deviation * math.sqrt(2 * math.log(ranks)))
