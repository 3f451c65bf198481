"""vLLM's own LoRA wrapper for CPU, with its kernels and with the mended ones."""

import pytest
import torch

from serving.engine import adapter_kernels

FIRST, SECOND = 5, 7
TOKENS = (0, 0, FIRST, FIRST, 0, SECOND, 0)  # adapter of each token, 0 for none


def applied(weights: dict[str, tuple[torch.Tensor, ...]], x: torch.Tensor) -> torch.Tensor:
    """What the wrapper adds to zeros, for two slices of 12 columns."""
    from vllm.lora.layers import LoRAMapping
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    wrapper = PunicaWrapperCPU(64, 8, "cpu")
    mapping = LoRAMapping(index_mapping=TOKENS, prompt_mapping=(0, FIRST), is_prefill=True)
    wrapper.update_metadata(mapping, [FIRST, SECOND], 2, 768)
    y = torch.zeros(len(TOKENS), 24)
    wrapper.add_lora_linear(y, x, weights["a"], weights["b"], 1.0, (12, 12))
    return y


@pytest.mark.filterwarnings("ignore")
def test_tokens_without_an_adapter_get_none_beside_those_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    torch.manual_seed(0)
    x = torch.randn(len(TOKENS), 16)
    weights = {
        "a": tuple(torch.randn(2, 1, 8, 16) for _ in range(2)),
        "b": tuple(torch.randn(2, 1, 12, 8) for _ in range(2)),
    }
    right = torch.zeros(len(TOKENS), 24)
    for row, adapter in enumerate(TOKENS):
        if adapter:
            place = (FIRST, SECOND).index(adapter)
            parts = [
                b[place, 0] @ a[place, 0] @ x[row] for a, b in zip(*weights.values(), strict=True)
            ]
            right[row] = torch.cat(parts)
    plain = torch.tensor([adapter == 0 for adapter in TOKENS])
    assert applied(weights, x)[plain].any(), "vLLM has mended this itself: take the mend out"
    for name in adapter_kernels.NAMES:
        for module in (lora_ops, punica_cpu):
            monkeypatch.setattr(module, name, getattr(adapter_kernels, name))
    mended = applied(weights, x)
    assert not mended[plain].any()
    assert torch.allclose(mended, right, atol=1e-4)
