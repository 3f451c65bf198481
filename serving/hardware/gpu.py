"""One accelerator: memory, bandwidth and arithmetic, every figure with its source."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from serving.documents import Strict

Id = Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]
NumberType = Literal["fp32", "bf16", "fp16", "fp8", "int8", "fp4"]


class Figure(Strict):
    """A number and where it is from."""

    value: PositiveFloat
    source: Annotated[str, Field(min_length=1)]


class Tflops(Strict):
    """Dense matrix arithmetic in 10^12 operations a second, by the type of the numbers.

    A multiplication and its addition count as two. None where the hardware has no units for a
    type: it then computes in a wider one.
    """

    fp32: Figure | None = None
    bf16: Figure | None = None
    fp16: Figure | None = None
    fp8: Figure | None = None
    int8: Figure | None = None
    fp4: Figure | None = None

    def of(self, number: NumberType) -> float | None:
        """The value for one type, None where the hardware lacks it."""
        figure: Figure | None = getattr(self, number)
        return None if figure is None else figure.value

    @property
    def values(self) -> dict[str, float]:
        """All that there are, by type."""
        figures = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: each.value for name, each in figures.items() if each is not None}


class GpuTflops(Tflops):
    """What an accelerator has at the least."""

    fp16: Figure


class Gpu(Strict):
    """One accelerator."""

    id: Id
    name: str
    vendor: Literal["nvidia", "amd"]
    ray_accelerator_type: str
    """What Ray calls it, for placement."""
    node_product: str | None = None
    """What its vendor's label on Kubernetes nodes calls it; None where boards differ."""
    compute_capability: Annotated[str, Field(pattern=r"^\d+\.\d$")] | None = None
    """NVIDIA's version of the instruction set, such as 9.0; what kernels exist depends on it."""
    gfx: Annotated[str, Field(pattern=r"^gfx[0-9a-f]+$")] | None = None
    """AMD's, such as gfx942."""
    memory_gib: Figure
    """What the driver offers to a process, less than the name on the box."""
    unified_memory: bool = False
    """The memory is the host's own, shared with the system and every other process."""
    bandwidth_gb_s: Figure
    """Memory bandwidth in 10^9 bytes a second."""
    tflops: GpuTflops
    power_w: Figure | None = None
    """What one may draw in all."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.vendor == "nvidia") != (self.compute_capability is not None):
            raise ValueError("compute_capability: give it for NVIDIA, such as 9.0, and only there")
        if (self.vendor == "amd") != (self.gfx is not None):
            raise ValueError("gfx: give it for AMD, such as gfx942, and only there")
        return self

    @property
    def bf16_tflops(self) -> Figure:
        """Dense 16-bit arithmetic: bfloat16, or float16 on hardware without it."""
        return self.tflops.bf16 or self.tflops.fp16

    @property
    def fp8_tflops(self) -> Figure | None:
        """Dense FP8; None where the hardware has none."""
        return self.tflops.fp8

    @property
    def resource(self) -> str:
        """What Kubernetes calls GPUs of this vendor."""
        return f"{self.vendor}.com/gpu"

    @property
    def node_selector(self) -> dict[str, str]:
        """The label of nodes with this GPU, as GPU feature discovery or AMD's labeller sets it."""
        if self.node_product is None:
            return {}
        label = "gpu.product" if self.vendor == "nvidia" else "gpu.product-name"
        return {f"{self.vendor}.com/{label}": self.node_product}

    @property
    def capability(self) -> tuple[int, int] | None:
        """The compute capability as numbers that compare; None for AMD."""
        if self.compute_capability is None:
            return None
        major, minor = self.compute_capability.split(".")
        return int(major), int(minor)
