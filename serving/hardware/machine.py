"""One machine shape: what a deployment runs on, every figure with its source."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PositiveInt, model_validator

from serving.documents import Strict, check_document, read_mapping
from serving.errors import InvalidDocument, UnknownMachine, nearest
from serving.hardware.gpu import Figure, Gpu, Id, Tflops

SHIPPED = Path(__file__).resolve().parent / "machines"
GPUS = Path(__file__).resolve().parent / "gpus"
GIB = 1024**3


class ProcessorTflops(Tflops):
    """What a processor has at the least."""

    fp32: Figure


class Processor(Strict):
    """The processors of one node together: they compute where there is no GPU."""

    name: str
    cores: PositiveInt
    """Physical ones."""
    bandwidth_gb_s: Figure
    """Memory bandwidth in 10^9 bytes a second, of all sockets."""
    tflops: ProcessorTflops
    """Of all cores."""


class Machine(Strict):
    """A shape of one or more equal nodes, with or without accelerators."""

    id: Id
    title: str
    nodes: PositiveInt = 1
    gpus_per_node: Annotated[int, Field(ge=0)] = 0
    gpu: Gpu | None = None
    """In a file either the id of a shipped GPU or the description of one."""
    processor: Processor | None = None
    """Plans for a machine without GPUs need it."""
    host_memory_gib: Figure | None = None
    """Memory of one node. Where there are no GPUs, weights and KV cache live in it."""
    link_within_node_gb_s: Figure | None = None
    """Bandwidth of one GPU to the others of its node, in 10^9 bytes a second, one way."""
    link_between_nodes_gb_s: Figure | None = None
    """Bandwidth of one GPU to other nodes, likewise."""
    usd_per_hour: Figure | None = None
    """What the whole machine costs; plans divide it by the tokens of an hour."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.gpus_per_node > 0) != (self.gpu is not None):
            raise ValueError("gpu: describe it where gpus_per_node is above 0, else write null")
        if self.gpu is None and self.host_memory_gib is None:
            raise ValueError("host_memory_gib: is needed where there is no GPU; add it")
        if (self.gpus_per_node > 1) != (self.link_within_node_gb_s is not None):
            raise ValueError("link_within_node_gb_s: give it for several GPUs a node, else null")
        if (self.nodes > 1) != (self.link_between_nodes_gb_s is not None):
            raise ValueError("link_between_nodes_gb_s: give it for several nodes, else null")
        return self

    @classmethod
    def load(cls, name: str | Path, folder: Path = SHIPPED) -> Self:
        """The shape with this id, or the one described in a YAML file of the user's.

        Args:
            name: an id such as `8xh200`, or a path that ends in .yaml or .yml.
            folder: where the shipped shapes lie.

        Raises:
            UnknownMachine: no shape has this id.
            InvalidDocument: the file is wrong.
        """
        path = Path(name)
        if path.suffix in {".yaml", ".yml"}:
            return check_document(path, _with_gpu(path, read_mapping(path)), cls)
        known = cls.ids(folder)
        wanted = str(name).strip().lower()
        if wanted not in known:
            raise UnknownMachine(
                f"no machine shape is called `{name}`; {nearest(str(name), known)}; "
                "for one of your own give the path of its YAML file"
            )
        path = folder / f"{wanted}.yaml"
        machine = check_document(path, _with_gpu(path, read_mapping(path)), cls)
        if machine.id != wanted:
            raise InvalidDocument(
                f"{path}: id is `{machine.id}`; call the file {machine.id}.yaml or change the id"
            )
        return machine

    @staticmethod
    def ids(folder: Path = SHIPPED) -> list[str]:
        """Ids of the shapes in a folder, sorted."""
        return sorted(path.stem for path in folder.glob("*.yaml"))

    @property
    def is_cpu(self) -> bool:
        """Whether the engine runs on the processors."""
        return self.gpu is None

    @property
    def gpus(self) -> int:
        """GPUs of all nodes."""
        return self.nodes * self.gpus_per_node

    @property
    def memory_bytes(self) -> int:
        """Memory in bytes that weights and KV cache share: of one GPU, or of one CPU node."""
        figure = self.host_memory_gib if self.gpu is None else self.gpu.memory_gib
        return 0 if figure is None else int(figure.value * GIB)


def _with_gpu(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    """The document with a GPU's description in place of its id.

    Raises:
        InvalidDocument: no shipped GPU has the id.
    """
    gpu = document.get("gpu")
    if not isinstance(gpu, str):
        return document
    known = sorted(each.stem for each in GPUS.glob("*.yaml"))
    wanted = gpu.strip().lower()
    if wanted not in known:
        raise InvalidDocument(
            f"{path}: gpu: no GPU is called `{gpu}`; {nearest(gpu, known)}; "
            "or describe it in place of its id"
        )
    return {**document, "gpu": read_mapping(GPUS / f"{wanted}.yaml")}
