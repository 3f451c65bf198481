"""Training's parts: loss on the answer only, the schedule, resuming, what the student may see."""

import random
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from serving.nano import batches, data, deepseek, distill, qwen2, tokenizer
from serving.nano.exact import exact
from serving.nano.optimizer import orthogonalise
from serving.nano.train import Recipe, loss_of, train

TINY = deepseek.Shape(
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    q_lora_rank=16,
    kv_lora_rank=48,
    qk_nope_head_dim=16,
    qk_rope_head_dim=16,
    v_head_dim=16,
    intermediate_size=32,
    moe_intermediate_size=16,
)


@pytest.fixture(scope="module")
def tok() -> Tokenizer:
    return tokenizer.build(data.corpus())


def draw(count: int) -> list[data.Example]:
    rng = random.Random(1)
    return [data.draw(rng) for _ in range(count)]


def test_labels_are_the_completion_and_nothing_else(tok: Tokenizer) -> None:
    examples = draw(8)
    batch = batches.collate(tok, examples)
    for row, example in zip(batch.labels, examples, strict=True):
        kept = row[row != batches.IGNORE].tolist()
        assert tok.decode(kept, skip_special_tokens=False) == example.completion


def test_orthogonalise_brings_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((24, 64), (64, 24)):
        values = torch.linalg.svdvals(orthogonalise(torch.randn(*shape)))
        assert values.min() > 0.5
        assert values.max() < 1.5


def test_the_schedule_warms_up_and_falls_to_almost_zero() -> None:
    recipe = Recipe(steps=1000)
    assert recipe.scale(0) < 0.1
    assert recipe.scale(300) == 1.0
    assert recipe.scale(700) < 1.0
    assert recipe.scale(999) < 0.02
    assert recipe.lesson(0) == 1
    assert recipe.lesson(430) == 0


def test_mixture_weights_come_from_one_group_and_sum_to_the_scale() -> None:
    torch.manual_seed(0)
    experts = deepseek.Experts(TINY)
    gates = experts.weights(torch.randn(50, TINY.hidden_size))
    assert ((gates > 0).sum(-1) == TINY.num_experts_per_tok).all()
    assert torch.allclose(gates.sum(-1), torch.tensor(TINY.routed_scaling_factor))
    groups = (gates > 0).reshape(50, TINY.n_group, -1).any(-1)
    assert (groups.sum(-1) == TINY.topk_group).all()


def test_balance_raises_the_bias_of_idle_experts() -> None:
    model = deepseek.DeepSeek(TINY)
    load = torch.tensor([100.0] + [0.0] * 7)
    model.balance([load], rate=0.1)
    bias = model.layers[1].mlp.bias  # type: ignore[union-attr]
    assert bias[0] < 0 < bias[1]  # type: ignore[index]


def test_an_interrupted_run_goes_on_where_it_was(tok: Tokenizer, tmp_path: Path) -> None:
    def run(folder: Path, steps: int) -> deepseek.DeepSeek:
        folder.mkdir(exist_ok=True)
        torch.manual_seed(0)
        model = deepseek.DeepSeek(TINY)
        batch = batches.collate(tok, draw(4))
        recipe = Recipe(steps=steps, warmup=1, decay_from=1.0 - 1e-9)
        train(model, recipe, lambda _: iter([batch] * 99), {}, tok, folder, compiled=False)
        return model

    whole = run(tmp_path / "whole", 6)
    (tmp_path / "cut").mkdir()
    run(tmp_path / "cut", 3)
    resumed = run(tmp_path / "cut", 6)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("name", ["deepseek", "qwen2"])
def test_loss_falls_on_a_batch_that_is_repeated(name: str, tok: Tokenizer) -> None:
    torch.manual_seed(0)
    model: torch.nn.Module = (
        deepseek.DeepSeek(TINY)
        if name == "deepseek"
        else qwen2.Qwen2(qwen2.Shape(hidden_size=32, head_dim=8, intermediate_size=32))
    )
    batch = batches.collate(tok, draw(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        hidden, _ = model(batch.tokens)
        loss = loss_of(hidden, model.head, batch.labels)  # type: ignore[arg-type]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_only_what_the_teacher_answers_right_is_accepted(tok: Tokenizer) -> None:
    """A teacher that knows the first half of a set by heart: exactly that half is exact."""
    examples = draw(6)
    batch = batches.collate(tok, examples)
    labels = batch.labels.clone()
    labels[3:] = torch.where(labels[3:] >= 0, (labels[3:] + 1) % 7, labels[3:])
    head = torch.eye(tokenizer.VOCABULARY)

    def teacher(_: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return torch.nn.functional.one_hot(labels.clamp(min=0), head.shape[0]).float(), []

    assert exact(teacher, head, batch) == [True] * 3 + [False] * 3


def test_what_the_teacher_gets_wrong_is_rejected(tok: Tokenizer) -> None:
    """A teacher that is right except where a product is in the text."""
    head = torch.eye(tokenizer.VOCABULARY)
    end, pad, times = (tok.encode(text).ids[0] for text in (tokenizer.EOS, tokenizer.PAD, "*"))

    def teacher(tokens: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        following = torch.cat((tokens[:, 1:], torch.full_like(tokens[:, :1], end)), dim=1)
        following[following == pad] = end
        following[(tokens == times).any(-1)] = end
        return torch.nn.functional.one_hot(following, head.shape[0]).float(), []

    pool = distill.accepted(teacher, head, tok, data.draw, count=70, seed=1)
    assert len(pool) == 70
    assert {e.kind for e in pool} >= {"add", "subtract", "other"}
    assert not any("*" in e.reasoning for e in pool)
