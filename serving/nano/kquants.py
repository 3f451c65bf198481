"""llama.cpp's K-quants in numpy: 256 weights to a block, 4, 5 or 6 bits each.

The `gguf` package reads these formats but does not write them. The layouts are ggml's; how scales
are found is an own least-squares search, so the bits are not those of llama.cpp's own tool.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

BLOCK = 256
_TRIES = 21
_NOTHING = 1e-30
_LOW, _NIBBLE = np.uint8(15), np.uint8(4)


def q4_k(rows: Floats) -> Bytes:
    """[rows, n] weights, n a multiple of 256, as Q4_K: 144 bytes a block."""
    head, codes = _affine_blocks(rows, levels=15)
    return _rows(rows, head, _nibbles(codes))


def q5_k(rows: Floats) -> Bytes:
    """[rows, n] weights, n a multiple of 256, as Q5_K: 176 bytes a block."""
    head, codes = _affine_blocks(rows, levels=31)
    fifth = np.bitwise_or.reduce(
        (codes >> _NIBBLE) << np.arange(8, dtype=np.uint8)[:, None], axis=1
    )
    return _rows(rows, head, fifth, _nibbles(codes & _LOW))


def q6_k(rows: Floats) -> Bytes:
    """[rows, n] weights, n a multiple of 256, as Q6_K: 210 bytes a block."""
    weights = rows.reshape(-1, 16, 16)
    scales = _symmetric(weights)
    step = (np.abs(scales).max(axis=1, keepdims=True) / 127).astype(np.float16)
    whole = np.rint(_divide(scales, step.astype(np.float32))).clip(-127, 127).astype(np.int8)
    used = (whole * step.astype(np.float32))[..., None]
    codes = (np.rint(_divide(weights, used)).clip(-32, 31) + 32).astype(np.uint8)
    # Two halves of 128, each four runs of 32: the low nibbles of runs 0 and 2 share bytes, those
    # of 1 and 3 too, and the upper two bits of all four are in one byte.
    runs = codes.reshape(-1, 2, 4, 32)
    low = (runs[:, :, :2] & _LOW) | ((runs[:, :, 2:] & _LOW) << _NIBBLE)
    shifts = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
    high = np.bitwise_or.reduce((runs >> _NIBBLE) << shifts, axis=2)
    return _rows(rows, low, high, whole.view(np.uint8), step.view(np.uint8))


def _affine_blocks(rows: Floats, levels: int) -> tuple[Bytes, Bytes]:
    """Heads (two steps and eight 6-bit scales and offsets) [blocks, 16], codes [blocks, 8, 32]."""
    weights = rows.reshape(-1, 8, 32)
    scales, offsets = _affine(weights, levels)
    steps = [
        (each.max(axis=1, keepdims=True) / 63).astype(np.float16) for each in (scales, offsets)
    ]
    sixes = [
        np.rint(_divide(each, step.astype(np.float32))).clip(0, 63).astype(np.uint8)
        for each, step in zip((scales, offsets), steps, strict=True)
    ]
    scale, offset = (
        (six * step.astype(np.float32))[..., None] for six, step in zip(sixes, steps, strict=True)
    )
    codes = np.rint(_divide(weights + offset, scale)).clip(0, levels).astype(np.uint8)
    (s, o) = sixes
    first = [s[:, :4] | ((s[:, 4:] >> 4) << 6), o[:, :4] | ((o[:, 4:] >> 4) << 6)]
    packed = [*first, (s[:, 4:] & 15) | ((o[:, 4:] & 15) << 4)]
    head = np.concatenate([*(step.view(np.uint8) for step in steps), *packed], axis=1)
    return head, codes


def _affine(weights: Floats, levels: int) -> tuple[Floats, Floats]:
    """Scale and offset ≥ 0 of each run, for which scale × code - offset is nearest to it."""
    low = np.minimum(weights.min(axis=-1), 0.0)
    spread = np.maximum(weights.max(axis=-1), 0.0) - low
    best = np.full(low.shape, np.inf, np.float32)
    scales, offsets = np.zeros_like(low), np.zeros_like(low)
    count = weights.shape[-1]
    for stretched in np.linspace(levels - 1, levels + 1, _TRIES):
        codes = np.rint((weights - low[..., None]) * _divide(stretched, spread)[..., None])
        codes = codes.clip(0, levels).astype(np.float32)
        # The straight line through (code, weight), by least squares.
        sum_c, sum_w = codes.sum(-1), weights.sum(-1)
        sum_cc, sum_cw = (codes * codes).sum(-1), (codes * weights).sum(-1)
        scale = _divide(count * sum_cw - sum_c * sum_w, count * sum_cc - sum_c * sum_c)
        offset = (scale * sum_c - sum_w) / count
        scale = np.where(offset < 0, _divide(sum_cw, sum_cc), scale)
        scale, offset = np.maximum(scale, 0.0), np.maximum(offset, 0.0)
        error = (scale[..., None] * codes - offset[..., None] - weights) ** 2
        better = error.sum(-1) < best
        best = np.where(better, error.sum(-1), best)
        scales, offsets = np.where(better, scale, scales), np.where(better, offset, offsets)
    return scales.astype(np.float32), offsets.astype(np.float32)


def _symmetric(weights: Floats) -> Floats:
    """The scale of each run for which scale × code, codes from -32 to 31, is nearest to it."""
    most: Floats = np.abs(weights).max(axis=-1)
    best = np.full(most.shape, np.inf, np.float32)
    scales: Floats = np.zeros_like(most)
    for reach in np.linspace(30.0, 33.0, _TRIES):
        codes = np.rint(weights * _divide(reach, most)[..., None]).clip(-32, 31)
        scale = _divide((codes * weights).sum(-1), (codes * codes).sum(-1))
        error = ((scale[..., None] * codes - weights) ** 2).sum(-1)
        better = error < best
        best, scales = np.where(better, error, best), np.where(better, scale, scales)
    return scales


def _nibbles(codes: Bytes) -> Bytes:
    """[blocks, 8, 32] codes below 16: two runs of 32 share 32 bytes."""
    return codes[:, 0::2] | (codes[:, 1::2] << _NIBBLE)


def _divide(over: Floats | float, under: Floats) -> Floats:
    """A quotient that is 0 where the divisor is (nearly): runs of equal weights have no spread."""
    out = np.zeros(np.broadcast_shapes(np.shape(over), under.shape), np.float32)
    return np.divide(over, under, out=out, where=np.abs(under) > _NOTHING)


def _rows(rows: Floats, *parts: NDArray[np.uint8]) -> Bytes:
    """The parts of each block behind each other, as bytes [rows, …]."""
    blocks = rows.size // BLOCK
    joined = np.concatenate([part.reshape(blocks, -1) for part in parts], axis=1)
    return np.ascontiguousarray(joined.reshape(rows.shape[0], -1))
