"""One model of the catalog: everything that serving it needs to know."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from serving.catalog.architecture import Architecture
from serving.catalog.builds import PACKAGE, Build, Licence, Name
from serving.catalog.sizes import TensorBytes, tensor_bytes
from serving.documents import Strict
from serving.errors import UnknownBuild, nearest

ModelId = Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]
FileName = Annotated[str, Field(pattern=r"^[a-z0-9_]+\.jinja$")]


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
    builds: Annotated[tuple[Build, ...], Field(min_length=1)]
    """The first is what is served where nothing else is asked for."""
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
        names = [build.id for build in self.builds]
        if len(names) != len(set(names)):
            raise ValueError("builds: two have the same id; change one")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The id and all aliases."""
        return (self.id, *self.aliases)

    @property
    def weights(self) -> Build:
        """The build that is served."""
        return self.builds[0]

    @property
    def weight_bytes(self) -> TensorBytes:
        """What the served build weighs, by the class of its tensors."""
        return tensor_bytes(self.architecture, self.weights)

    def using(self, build: str) -> Self:
        """This model served from another of its builds.

        Raises:
            UnknownBuild: it has no such build; the message offers near names.
        """
        wanted = build.strip().lower()
        chosen = [each for each in self.builds if each.id == wanted]
        if not chosen:
            known = [each.id for each in self.builds]
            raise UnknownBuild(f"{self.id} has no build `{build}`; {nearest(build, known)}")
        others = [each for each in self.builds if each.id != wanted]
        return self.model_copy(update={"builds": (*chosen, *others)})
