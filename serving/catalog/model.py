"""One model of the catalog: everything that serving it needs to know."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, HttpUrl, PositiveFloat, PositiveInt, model_validator

from serving.catalog.architecture import Architecture
from serving.documents import Strict

PACKAGE = Path(__file__).resolve().parents[1]

ModelId = Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$")]
FileName = Annotated[str, Field(pattern=r"^[a-z0-9_]+\.jinja$")]


class Base(Strict):
    """The model that a distill was trained from, whose terms go with it."""

    model: Name
    licence: str
    terms: HttpUrl | None = None


class Licence(Strict):
    """Under what terms the weights may be used."""

    id: str
    source: HttpUrl | None = None
    base: Base | None = None
    gated: bool
    """Whether the hub asks for an account that accepted the terms before a download."""


class ToolParser(Strict):
    """vLLM's parser of tool calls, and the chat template that shows the tools to the model."""

    parser: Literal["deepseek_v3"]
    template: FileName

    @property
    def template_path(self) -> Path:
        """The template's file."""
        return PACKAGE / "catalog" / "templates" / self.template


class Parsers(Strict):
    """Names of vLLM's parsers of a model's output."""

    reasoning: Literal["deepseek_r1"]
    tools: ToolParser | None
    """None where the tokenizer has no tool tokens: vLLM's parser refuses to start without them."""


class Chat(Strict):
    """How a conversation becomes a prompt, without tools."""

    template: Literal["tokenizer"]
    """The template comes with the tokenizer."""
    prefills_think: bool
    """The prompt ends in `<think>` and a newline, so the output holds only `</think>`."""
    system_prompt: bool
    """Whether the model's authors advise the use of a system prompt."""


class Sampling(Strict):
    """Sampling defaults that the model's authors advise."""

    temperature: Annotated[float, Field(ge=0, le=2)]
    top_p: Annotated[float, Field(gt=0, le=1)]


class Context(Strict):
    """Lengths in tokens."""

    served: PositiveInt
    """Prompt and answer together that a deployment accepts, where memory allows it."""
    longest_answer: PositiveInt
    """Answer length that evaluations and deployments allow for, reasoning included."""


class Weights(Strict):
    """Where the weights come from and what they weigh."""

    hub: Name | None = None
    """Hugging Face id."""
    package: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*)*$")] | None = (
        None
    )
    """Folder inside the package `serving`, for models that ship with it."""
    dtype: Literal["fp8_block", "bfloat16", "float32"]

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.hub is None) == (self.package is None):
            raise ValueError("give one of hub and package")
        return self

    @property
    def path(self) -> Path | None:
        """Folder of the weights where they ship with the package, else None."""
        return None if self.package is None else PACKAGE / self.package


class Published(Strict):
    """Figures that others published; tests compare the arithmetic with them."""

    source: str
    parameters_billion: PositiveFloat
    active_parameters_billion: PositiveFloat | None = None
    kv_bytes_per_token: PositiveInt
    """In bfloat16, without MTP."""
    mtp_kv_bytes_per_token: PositiveInt | None = None
    weights_gb: PositiveFloat
    """10^9 bytes of all weight files, with MTP where the model has it."""
    weights_without_mtp_gb: PositiveFloat | None = None
    aime_2024: PositiveFloat
    """pass@1 in percent: 64 samples, temperature 0.6, top_p 0.95, 32,768 tokens."""
    math_500: PositiveFloat


class Prices(Strict):
    """An example of what callers may be charged, in USD for a million tokens."""

    input_miss: Annotated[float, Field(ge=0)]
    """Prompt tokens that have to be worked through."""
    input_hit: Annotated[float, Field(ge=0)]
    """Prompt tokens from the prefix cache."""
    output: Annotated[float, Field(ge=0)]


class Model(Strict):
    """A model that r1 can serve."""

    id: ModelId
    title: str
    aliases: tuple[Name, ...]
    architecture: Architecture
    licence: Licence
    parsers: Parsers
    chat: Chat
    sampling: Sampling
    context: Context
    weights: Weights
    prices: Prices | None = None
    """None: the gateway counts its tokens and charges nothing."""
    published: Published | None = None
    """None for the nano models, whose card is beside their weights."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        positions = self.architecture.max_position_embeddings
        if self.context.served > positions:
            raise ValueError(
                f"context.served is {self.context.served}, more than the {positions} positions "
                "of architecture.max_position_embeddings; lower it"
            )
        if self.context.longest_answer > self.context.served:
            raise ValueError("context.longest_answer must not exceed context.served")
        if self.weights.dtype == "fp8_block" and self.architecture.kind != "deepseek_v3":
            raise ValueError("weights.dtype fp8_block is known for deepseek_v3 only")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The id and all aliases."""
        return (self.id, *self.aliases)
