"""The numbers that a prediction is made from: of a model in one precision, and of hardware."""

from collections.abc import Mapping
from dataclasses import dataclass

from serving.hardware.gpu import NumberType

Precision = NumberType
"""A type that hardware multiplies in."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some tensors of a model that are read and multiplied together."""

    parameters: float
    bytes: float
    compute: Precision


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """A model in one precision. Bytes and parameters are those of all layers together."""

    layers: int
    sparse_layers: int
    hidden: int
    attention: Part
    """Attention projections that tensor parallelism splits."""
    copied: Part
    """Attention's projections to the latent vectors, norms and routers, which it copies."""
    dense: Part
    """Feed-forward layers that every token passes: dense ones, shared experts, routers."""
    expert: Part
    """One routed expert of every sparse layer."""
    head: Part
    """The output projection."""
    expert_width: int
    """Intermediate size of a routed expert."""
    experts: int
    chosen: int
    """Routed experts that each token passes in a layer."""
    kv_bytes_per_token: float
    kv_heads: int
    """Heads that tensor parallelism can split the KV cache over: 1 for latent attention."""
    decode_flops_per_context_token: float
    """Attention's, for one new token and one token of its context."""
    prefill_flops_per_context_token: float
    """Attention's, for one prompt token and one token of the whole prompt, causal."""
    attends: Precision
    """What attention itself multiplies in: FP8 with an FP8 cache."""
    kernels_per_layer: tuple[int, int]
    """Kernels that attention and feed-forward of a layer take one after the other."""


@dataclass(frozen=True, slots=True)
class HardwareFigures:
    """Equal accelerators in equal nodes. Bandwidths in bytes a second, one way."""

    gpus_per_node: int
    nodes: int
    bandwidth_bytes_s: float
    flops: Mapping[Precision, float]
    """Dense operations a second by type; a type that the hardware lacks is not in it."""
    link_within_bytes_s: float
    link_between_bytes_s: float

    @property
    def gpus(self) -> int:
        """Accelerators of all nodes."""
        return self.gpus_per_node * self.nodes

    def rate(self, precision: Precision) -> float:
        """Operations a second in a type, or in the next wider one that the hardware has.

        Weights narrower than any type of the hardware are widened as they are read.
        """
        for wider in _WIDER[precision]:
            if wider in self.flops:
                return self.flops[wider]
        return self.flops["fp32"]


_WIDER: Mapping[Precision, tuple[Precision, ...]] = {
    "fp4": ("fp4", "fp8", "bf16", "fp16"),
    "fp8": ("fp8", "bf16", "fp16"),
    "int8": ("int8", "bf16", "fp16"),
    "bf16": ("bf16", "fp16"),
    "fp16": ("fp16", "bf16"),
    "fp32": ("fp32", "bf16", "fp16"),
}
