"""Muon for the weight matrices, AdamW for the rest: fewer steps than AdamW alone at this size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Newton-Schulz quintic, Jordan et al., Muon (2024)


@torch.no_grad()
def orthogonalise(gradient: Tensor, steps: int = 5) -> Tensor:
    """About U V^T of a matrix [rows, columns], by Newton-Schulz iteration."""
    a, b, c = _COEFFICIENTS
    wide = gradient.shape[0] <= gradient.shape[1]
    x: Tensor = gradient if wide else gradient.T
    x = x / (torch.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.T


class Optimizer:
    """One step for both groups. `split` says into how many matrices a stacked weight divides."""

    def __init__(self, model: nn.Module, *, muon_rate: float, adam_rate: float) -> None:
        named = list(model.named_parameters())
        self.matrices = [p for name, p in named if p.ndim == 2 and name not in ("embed", "head")]
        chosen = {id(p) for p in self.matrices}
        others = [p for _, p in named if id(p) not in chosen]
        self.muon_rate, self.adam_rate = muon_rate, adam_rate
        self.momentum = [torch.zeros_like(p) for p in self.matrices]
        self.adam = torch.optim.AdamW(others, lr=adam_rate, betas=(0.9, 0.98), weight_decay=0.0)

    @torch.no_grad()
    def step(self, scale: float, *, momentum: float = 0.95, decay: float = 0.01) -> None:
        """Applies the gradients with both rates times `scale`, and clears them."""
        rate = self.muon_rate * scale
        for p, m in zip(self.matrices, self.momentum, strict=True):
            if p.grad is None:
                continue
            m.lerp_(p.grad, 1 - momentum)
            update = orthogonalise(p.grad.lerp(m, momentum))
            p.mul_(1 - rate * decay)
            p.add_(update, alpha=-rate * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)
            p.grad = None
        for group in self.adam.param_groups:
            group["lr"] = self.adam_rate * scale
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, object]:
        """What a resumed run needs."""
        return {"momentum": self.momentum, "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """The state of an interrupted run."""
        for own, saved in zip(self.momentum, state["momentum"], strict=True):  # type: ignore[call-overload]
            own.copy_(saved)
        self.adam.load_state_dict(state["adam"])  # type: ignore[arg-type]
