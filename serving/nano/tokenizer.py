"""The tokenizer of the nano models: byte-level BPE with R1's special tokens.

All 256 bytes are in the vocabulary, so any text can be encoded. Words merge, digits and operators
never do, so the working stays one token a character. The splitting pattern is Qwen2's, which
llama.cpp knows as `qwen2`, so that the student converts to GGUF.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

if TYPE_CHECKING:
    from collections.abc import Iterable

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
PAD = "<｜▁pad▁｜>"
USER = "<｜User｜>"
ASSISTANT = "<｜Assistant｜>"
THINK, THINK_END = "<think>", "</think>"
TOOLS = tuple(
    f"<｜tool▁{part}｜>"
    for part in (
        "calls▁begin", "calls▁end", "call▁begin", "call▁end",
        "outputs▁begin", "outputs▁end", "output▁begin", "output▁end", "sep",
    )
)  # fmt: skip
SPECIAL = (BOS, EOS, PAD, USER, ASSISTANT, THINK, THINK_END, *TOOLS)

VOCABULARY = 768

_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# DeepSeek-R1's conversation format: `<think>\n` is prefilled, and earlier answers lose their
# reasoning, so that a conversation costs no context for thoughts that are over.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{%- for m in messages if m['role'] == 'system' -%}{{ m['content'] }}{%- endfor -%}"
    "{%- for m in messages -%}"
    "{%- if m['role'] == 'user' -%}{{ '<｜User｜>' + m['content'] }}"
    "{%- elif m['role'] == 'assistant' and m['content'] is not none -%}"
    "{{ '<｜Assistant｜>' + m['content'].split('</think>')[-1].lstrip('\n')"
    " + '<｜end▁of▁sentence｜>' }}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<｜Assistant｜><think>\n' }}{%- endif -%}"
)


def build(corpus: Iterable[str]) -> Tokenizer:
    """Train the merges on the words of `corpus`; the result has `VOCABULARY` tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    for token in SPECIAL:
        if token in (THINK, THINK_END):
            # Ordinary tokens, as in R1's own tokenizer: they stay in the decoded text, where
            # reasoning parsers look for them.
            tokenizer.add_tokens([AddedToken(token, normalized=False, special=False)])
        else:
            tokenizer.add_special_tokens([token])
    return tokenizer


def prompt(user: str, system: str = "", history: tuple[tuple[str, str], ...] = ()) -> str:
    """The text that the chat template makes of a conversation, up to the prefilled `<think>`.

    `history` holds earlier (question, answer) pairs, the answers without their reasoning.
    """
    turns = "".join(f"{USER}{question}{ASSISTANT}{answer}{EOS}" for question, answer in history)
    return f"{BOS}{system}{turns}{USER}{user}{ASSISTANT}{THINK}\n"
