"""LoRA on CPU, which vLLM 0.29 gets wrong for the base model's requests. Pure.

Its kernels are given the number of each token's adapter, -1 for none, and use it as an index: -1
is the last adapter. So whenever base and adapters share a batch, the base answers with whatever
adapter lies in the last place. It also copies an adapter's weights once for each token. Here an
adapter's tokens are computed together and tokens without one are left alone.

Shapes: `inputs` [tokens, in]; weights [adapters, 1, rank, in] to shrink and
[adapters, 1, out, rank] to expand, the second dimension may be missing; `indices` int64 [tokens].
"""

from collections.abc import Iterator
from typing import Any

NAMES = ("bgmv_shrink", "bgmv_expand", "bgmv_expand_slice")


def bgmv_shrink(
    inputs: Any, lora_a_weights: Any, output_tensor: Any, indices: Any, scaling: float = 1.0
) -> None:
    """Set `output` [tokens, rank or more] to `scaling` times each token's A times its input."""
    output_tensor.zero_()
    for rows, weight in _parts(lora_a_weights, output_tensor, indices):
        result = inputs[rows].to(output_tensor.dtype) @ weight.T
        output_tensor[rows, : result.shape[1]] = scaling * result


def bgmv_expand(
    inputs: Any, lora_b_weights: Any, output_tensor: Any, indices: Any, add_inputs: bool = True
) -> None:
    """Add each token's B times its input to the first columns of `output`, or put it there."""
    width = min(lora_b_weights.shape[-2], output_tensor.shape[1])
    bgmv_expand_slice(inputs, lora_b_weights, output_tensor, indices, 0, width, add_inputs)


def bgmv_expand_slice(
    inputs: Any,
    lora_b_weights: Any,
    output_tensor: Any,
    indices: Any,
    slice_offset: int,
    slice_size: int,
    add_inputs: bool = True,
) -> None:
    """The same for the columns of a slice."""
    columns = slice(slice_offset, slice_offset + slice_size)
    if not add_inputs:
        output_tensor[: len(indices), columns] = 0
    for rows, weight in _parts(lora_b_weights, output_tensor, indices):
        result = inputs[rows].to(output_tensor.dtype) @ weight.T
        output_tensor[rows, columns] += result[:, :slice_size]


def mend(*modules: Any) -> None:
    """Put these functions in the place of vLLM's, wherever its modules name them."""
    for module in modules:
        for name in NAMES:
            setattr(module, name, globals()[name])


def _parts(weights: Any, output: Any, indices: Any) -> Iterator[tuple[Any, Any]]:
    """For each adapter among the tokens: the numbers of its tokens and its weight."""
    for number in indices.unique().tolist():
        if number >= 0:
            weight = weights[number]
            if weight.ndim == 3:
                weight = weight[0]
            yield (indices == number).nonzero()[:, 0], weight.to(output.dtype)
