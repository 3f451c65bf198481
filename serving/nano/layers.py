"""What both nano architectures are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Norm(nn.Module):
    """Root-mean-square norm with a gain."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """[..., size] -> [..., size]"""
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Dense(nn.Module):
    """SwiGLU feed-forward."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.up = matrix(2 * inner, hidden)
        self.down = matrix(hidden, inner, zero=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S, hidden] -> the same, and an empty load (there are no experts)."""
        gate, up = F.linear(x, self.up).chunk(2, dim=-1)
        return F.linear(F.silu(gate) * up, self.down), x.new_zeros(0)

    def named(self) -> list[tuple[str, Tensor]]:
        """The weights under their published names."""
        gate, up = self.up.chunk(2)
        return [
            ("gate_proj.weight", gate),
            ("up_proj.weight", up),
            ("down_proj.weight", self.down),
        ]


def matrix(rows: int, columns: int, *, zero: bool = False) -> nn.Parameter:
    """A weight [out, in], uniform within 1/sqrt(in), or zero where a block writes its output."""
    bound = 0.0 if zero else columns**-0.5
    return nn.Parameter(torch.empty(rows, columns).uniform_(-bound, bound))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates pairs (i, i + d/2) of the last axis by the position's angles."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def angles(length: int, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine [length, rope/2] of every position's rotation."""
    turns = torch.outer(torch.arange(length).float(), frequencies)
    return turns.cos(), turns.sin()
