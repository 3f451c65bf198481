"""LoRA on CPU: each token gets its own adapter's delta, and none without an adapter."""

from types import SimpleNamespace

import torch
from hypothesis import given
from hypothesis import strategies as st

from serving.engine import adapter_kernels

ADAPTERS, RANK, WIDE, OUT = 3, 4, 6, 5


@given(st.lists(st.integers(-1, ADAPTERS - 1), min_size=1, max_size=12), st.booleans())
def test_a_token_gets_its_own_adapters_delta_and_no_others(numbers: list[int], flat: bool) -> None:
    torch.manual_seed(len(numbers))
    down, up = torch.randn(ADAPTERS, 1, RANK, WIDE), torch.randn(ADAPTERS, 1, OUT, RANK)
    inputs, before = torch.randn(len(numbers), WIDE), torch.randn(len(numbers), OUT + 2)
    indices = torch.tensor(numbers)
    middle, after = torch.full((len(numbers), RANK), 7.0), before.clone()
    stored = (down[:, 0], up[:, 0]) if flat else (down, up)
    adapter_kernels.bgmv_shrink(inputs, stored[0], middle, indices, 0.5)
    adapter_kernels.bgmv_expand_slice(middle, stored[1], after, indices, 1, OUT, True)
    for row, number in enumerate(numbers):
        delta = torch.zeros(OUT)
        if number >= 0:
            delta = up[number, 0] @ (0.5 * down[number, 0] @ inputs[row])
        assert torch.allclose(after[row, 1 : 1 + OUT], before[row, 1 : 1 + OUT] + delta, atol=1e-4)
        if number < 0:
            assert torch.equal(after[row], before[row]), "the base is as it was, to the bit"
        assert torch.equal(after[row, [0, OUT + 1]], before[row, [0, OUT + 1]])


def test_whole_rows_can_be_expanded_or_replaced() -> None:
    up, middle = torch.ones(1, 1, OUT, RANK), torch.ones(2, RANK)
    added, put = torch.ones(2, OUT), torch.ones(2, OUT)
    indices = torch.tensor([0, -1])
    adapter_kernels.bgmv_expand(middle, up, added, indices)
    assert added.tolist() == [[RANK + 1.0] * OUT, [1.0] * OUT]
    adapter_kernels.bgmv_expand(middle, up, put, indices, add_inputs=False)
    assert put.tolist() == [[float(RANK)] * OUT, [0.0] * OUT]


def test_every_name_is_mended_where_modules_hold_it() -> None:
    module = SimpleNamespace(**dict.fromkeys(adapter_kernels.NAMES, None), other=1)
    adapter_kernels.mend(module)
    assert all(callable(getattr(module, name)) for name in adapter_kernels.NAMES)
    assert module.other == 1
