"""The images: what each is built from."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What every name begins with, behind the registry's.
PREFIX = "r1/"


@dataclass(frozen=True)
class Image:
    """One image. `arguments` are build arguments that differ from the Dockerfile's own defaults."""

    name: str
    dockerfile: str
    arguments: dict[str, str] = field(default_factory=dict)
    default: bool = True
    """Whether it is meant where no image is named."""

    def reference(self, tag: str, registry: str = "") -> str:
        """The image's full name: `r1/gateway:0.1.0`."""
        return f"{registry.rstrip('/')}/{PREFIX}{self.name}:{tag}".lstrip("/")


IMAGES = {
    image.name: image
    for image in (
        Image("gateway", "deploy/images/gateway.Dockerfile"),
        Image("serving-cpu", "deploy/images/serving.Dockerfile"),
        # `devel`, as FlashInfer and DeepGEMM compile kernels with nvcc when an engine starts.
        Image(
            "serving-gpu",
            "deploy/images/serving.Dockerfile",
            {
                "BASE": "nvidia/cuda:13.0.2-devel-ubuntu24.04",
                "PYTHON": "python3.12",
                "SYSTEM_PACKAGES": "bash ca-certificates g++ libgomp1 libnuma1 tini wget "
                "python3.12 python3.12-venv",
                "LOCK": "locks/gpu.txt",
                "TORCH_INDEX": "https://download.pytorch.org/whl/cu130",
                "TITLE": "r1 serving (CUDA 13)",
            },
            default=False,
        ),
        Image(
            "load",
            "deploy/images/gateway.Dockerfile",
            {"LOCK": "locks/load.txt", "PARTS": "loadtests", "TITLE": "r1 load"},
            default=False,
        ),
    )
}


class UnknownImage(ValueError):
    """No image has this name."""


def chosen(names: list[str]) -> list[Image]:
    """The images with these names; the default ones for no names. Raises UnknownImage."""
    if unknown := [name for name in names if name not in IMAGES]:
        raise UnknownImage(f"no image is called {unknown[0]}: name one of {', '.join(IMAGES)}")
    return [image for image in IMAGES.values() if (image.name in names if names else image.default)]


def version(root: Path = ROOT) -> str:
    """The project's version, the default tag."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])
