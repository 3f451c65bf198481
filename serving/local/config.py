"""What a local model plane is told: its ports, its folder and its models."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Strict(BaseModel):
    """Base of the configuration's parts: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(Strict):
    """A range of TCP ports, both ends included."""

    first: int = Field(ge=1024, le=65535)
    last: int = Field(ge=1024, le=65535)

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last


class Ports(Strict):
    """The TCP ports of the model plane."""

    telemetry: int
    serve: int
    ray_gcs: int
    ray_object_manager: int
    ray_node_manager: int
    ray_client: int
    ray_dashboard: int
    ray_agent_http: int
    ray_agent_grpc: int
    ray_runtime_env: int
    ray_metrics: int
    haproxy_metrics: int
    haproxy_stats: int
    serve_fallback: int
    engine: Range
    replicas: Range
    ray_workers: Range


class Application(Strict):
    """One model's Serve application: its id and the arguments of `serving.app:build`."""

    model: str = Field(min_length=1)
    arguments: dict[str, Any]

    @field_validator("arguments")
    @classmethod
    def _names_no_model(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "model" in value:
            raise ValueError("give the model's id beside the arguments, not among them")
        return value


class LocalPlane(Strict):
    """Configuration of `python -m serving.local`."""

    host: str = "127.0.0.1"
    """Where everything listens: an address, or a name that is looked up once."""
    temp_dir: Path
    ports: Ports
    applications: list[Application] = Field(min_length=1)
    longest_answer_s: float = Field(gt=0)
    gpus: int = Field(default=0, ge=0)
    """GPUs of this machine that the models may take."""
    ray_object_store_bytes: int = Field(default=100_000_000, ge=78_643_200)

    @field_validator("temp_dir")
    @classmethod
    def _short_enough(cls, value: Path) -> Path:
        # Ray puts "/session_<date>_<pid>/sockets/plasma_store" under it, and a Unix
        # socket's whole path may have 107 bytes.
        if len(str(value)) > 40:
            raise ValueError(f"{value} is too long: Ray's socket paths under it wouldn't fit")
        return value

    @property
    def http_host(self) -> str:
        """Where HTTP listens: also on loopback, where HAProxy asks the replicas of its node."""
        return self.host if self.host == "127.0.0.1" else "0.0.0.0"  # noqa: S104

    @property
    def notes(self) -> Path:
        """Where replicas leave what their start took."""
        return self.temp_dir / "notes"


def load(path: Path) -> LocalPlane:
    """Read the configuration.

    Raises:
        OSError: the file can't be read.
        pydantic.ValidationError: a field is missing, unknown or wrong; the message names it.
    """
    return LocalPlane.model_validate_json(path.read_bytes())
