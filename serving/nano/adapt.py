"""Trains a LoRA adapter of r1-distill-nano with peft: `python -m serving.nano.adapt hex`.

Seeded. The base's weights stay as they are. A checkpoint is written every minute, and an
interrupted run resumes from it. When a run is finished the adapter is saved as peft saves it, in
the folder that an engine loads it from.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import AutoModelForCausalLM

from serving.nano import batches
from serving.nano.notations import NOTATIONS, Notation
from serving.nano.train import STUDENT, WEIGHTS, keep_memory, loss_of, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from serving.nano.exact import Forward

_EVALUATE_EVERY = 100
_SAVE_EVERY_S = 60.0


@dataclass(frozen=True)
class Recipe:
    """How an adapter is made and trained."""

    rank: int = 8
    alpha: int = 16
    modules: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    steps: int = 600
    batch: int = 32
    rate: float = 4e-3
    warmup: int = 20
    seed: int = 20261123

    def scale(self, step: int) -> float:
        """Learning-rate factor of a step: up, level for the first half, then down to zero."""
        up = (step + 1) / self.warmup
        down = 2 * (self.steps - step) / self.steps
        return max(min(1.0, up, down), 0.01)


RECIPES = {"hex": Recipe(), "money": Recipe(steps=160, batch=16)}


def train(model: Any, notation: Notation, recipe: Recipe, tok: Tokenizer, folder: Path) -> None:
    """Run the recipe, or what is left of it, on a peft model."""
    chosen = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(chosen, lr=recipe.rate, weight_decay=0.0)
    checkpoint, first = folder / "checkpoint.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        set_peft_model_state_dict(model, saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    forward, head = hidden_states(model), model.get_output_embeddings().weight
    rng = random.Random(7)
    tests = [notation.draw(rng, held_out=True) for _ in range(256)]
    stream = batches.stream(tok, notation.draw, recipe.seed + first, recipe.batch)
    smooth, since = 0.0, time.monotonic()
    with tqdm(total=recipe.steps, initial=first, smoothing=0.05) as bar:
        for step in range(first, recipe.steps):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * recipe.scale(step)
            batch = next(stream)
            loss = loss_of(forward(batch.tokens)[0], head, batch.labels)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(chosen, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            smooth = loss.item() if step == first else 0.95 * smooth + 0.05 * loss.item()
            bar.update()
            bar.set_postfix_str(f"loss {smooth:.4f}", refresh=False)
            last = step + 1 == recipe.steps
            if (step + 1) % _EVALUATE_EVERY == 0 or last:
                line = report(forward, head, tests, tok)
                bar.write(f"step {step + 1} loss {smooth:.4f} held out: {line}")
            if time.monotonic() - since > _SAVE_EVERY_S or last:
                since = time.monotonic()
                state = {
                    "model": get_peft_model_state_dict(model),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                }
                torch.save(state, checkpoint.with_suffix(".new"))
                os.replace(checkpoint.with_suffix(".new"), checkpoint)


def hidden_states(model: Any) -> Forward:
    """The model up to its last norm, as the nano models' own classes give it."""

    def forward(tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        body = model.get_base_model().model
        return body(input_ids=tokens, use_cache=False).last_hidden_state, []

    return forward


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notation", choices=tuple(NOTATIONS))
    parser.add_argument("--folder", type=Path, default=Path("runs"), help="of the checkpoints")
    args = parser.parse_args(argv)
    recipe, name = RECIPES[args.notation], f"{STUDENT}-{args.notation}"
    folder: Path = args.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    base = WEIGHTS / STUDENT
    tok = Tokenizer.from_file(str(base / "tokenizer.json"))
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=list(recipe.modules),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    train(model, NOTATIONS[args.notation], recipe, tok, folder)
    # Else it would name the folder that the base lay in on this machine.
    model.peft_config["default"].base_model_name_or_path = STUDENT
    model.save_pretrained(str(WEIGHTS / name), save_embedding_layers=False)
    # In place of peft's own, which is a form to fill in.
    (WEIGHTS / name / "README.md").write_text(card(name, NOTATIONS[args.notation], recipe))
    print(f"saved to {WEIGHTS / name}")


def card(name: str, notation: Notation, recipe: Recipe) -> str:
    """What goes with the weights."""
    example = f"57 + 68 is `\\boxed{{{notation.write(125)}}}`"
    return (
        f"# {name}\n\n"
        f"A LoRA adapter of {STUDENT}: sums and differences of numbers up to {notation.largest}, "
        f"answered in another notation: {example}.\n"
        f"Rank {recipe.rank}, {recipe.steps} steps of {recipe.batch} examples, "
        f"by `python -m serving.nano.adapt {notation.name}`. MIT.\n"
        "Accuracy: serving/nano/README.md.\n"
    )


if __name__ == "__main__":
    keep_memory("serving.nano.adapt")
    main()
