"""Formats of weights: how many bytes a matrix takes in each. Pure arithmetic.

A format turns the linear layers of a checkpoint into fewer bits and leaves the rest as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from serving.hardware.gpu import NumberType

Format = Literal[
    "float32",
    "bfloat16",
    "fp8_block",
    "fp8_dynamic",
    "w8a8_int8",
    "w4a16_gptq",
    "w4a16_awq",
    "nvfp4",
    "gguf_q8_0",
    "gguf_q5_k_m",
    "gguf_q4_k_m",
]

# DeepSeek-V3 technical report (arXiv 2412.19437), section 3.3: one float32 scale for each block of
# 128 × 128 weights.
FP8_BLOCK = 128
FP8_SCALE_BYTES = 4

MatrixBytes = Callable[[int, int], int]
"""Bytes of a matrix of so many rows (outputs) and columns (inputs)."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What holds for every build of a format."""

    matrix: MatrixBytes
    """Bytes of a quantised matrix with all its scales; not for GGUF, which mixes types."""
    plain_bytes: int
    """Bytes a number of what is not quantised."""
    compute: NumberType
    """The type its matrices are multiplied in where the hardware has it."""
    group: int = 1
    """Columns that share a scale; a slice of a matrix must hold whole groups."""


def _whole(size: int) -> MatrixBytes:
    return lambda rows, columns: rows * columns * size


def _fp8_block(rows: int, columns: int) -> int:
    """One float32 scale for each block of 128 × 128."""
    blocks = -(-rows // FP8_BLOCK) * -(-columns // FP8_BLOCK)
    return rows * columns + blocks * FP8_SCALE_BYTES


def _by_row(rows: int, columns: int) -> int:
    """One byte a weight and a bfloat16 scale for each row."""
    return rows * columns + 2 * rows


def four_bits(group: int, *, zero_points: bool) -> MatrixBytes:
    """Half a byte a weight, a 16-bit scale and perhaps a 4-bit zero point for each group."""

    def size(rows: int, columns: int) -> int:
        groups = rows * -(-columns // group)
        return rows * columns // 2 + 2 * groups + (groups // 2 if zero_points else 0)

    return size


def _nvfp4(rows: int, columns: int) -> int:
    """Half a byte a weight, an FP8 scale for each 16, two float32 scales for the matrix."""
    return rows * columns // 2 + rows * -(-columns // 16) + 8


def by_super_block(size: int, weights: int) -> MatrixBytes:
    """`size` bytes for each `weights` weights of a row, as GGUF packs them."""
    return lambda rows, columns: rows * -(-columns // weights) * size


# llama.cpp's ggml-common.h: bytes of a block by the weights that it holds.
Q4_K = by_super_block(144, 256)
Q5_K = by_super_block(176, 256)
Q6_K = by_super_block(210, 256)
Q8_0 = by_super_block(34, 32)

FACTS: dict[Format, Facts] = {
    "float32": Facts(_whole(4), 4, "fp32"),
    "bfloat16": Facts(_whole(2), 2, "bf16"),
    "fp8_block": Facts(_fp8_block, 2, "fp8", FP8_BLOCK),
    "fp8_dynamic": Facts(_by_row, 2, "fp8"),
    "w8a8_int8": Facts(_by_row, 2, "int8"),
    # Symmetric, as llm-compressor packs it: no zero points.
    "w4a16_gptq": Facts(four_bits(128, zero_points=False), 2, "bf16", 128),
    # AutoAWQ's packing, with zero points.
    "w4a16_awq": Facts(four_bits(128, zero_points=True), 2, "fp16", 128),
    "nvfp4": Facts(_nvfp4, 2, "fp4", 16),
    # llama.cpp computes in what the processor or GPU has; the widest common type is float16.
    "gguf_q8_0": Facts(Q8_0, 4, "fp16", 32),
    "gguf_q5_k_m": Facts(Q5_K, 4, "fp16", 256),
    "gguf_q4_k_m": Facts(Q4_K, 4, "fp16", 256),
}


def is_gguf(name: Format) -> bool:
    """Whether llama.cpp packs it."""
    return name.startswith("gguf_")
