"""vLLM's workers with a clock on the phases of their start: named by `worker_cls`."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Timed:
    """Mixed in before a worker class of vLLM's; asked with `collective_rpc("start_phases")`."""

    def load_model(self, **options: Any) -> Any:
        """Load the weights."""
        with self._phase("load"):
            return super().load_model(**options)  # type: ignore[misc]

    def determine_available_memory(self) -> Any:
        """Profile a step."""
        with self._phase("compile"):
            return super().determine_available_memory()  # type: ignore[misc]

    def initialize_from_config(self, *args: Any) -> Any:
        """Lay out the KV cache."""
        with self._phase("compile"):
            return super().initialize_from_config(*args)  # type: ignore[misc]

    def compile_or_warm_up_model(self) -> Any:
        """Compile, and capture graphs."""
        with self._phase("compile"):
            return super().compile_or_warm_up_model()  # type: ignore[misc]

    def start_phases(self) -> dict[str, float]:
        """Return the seconds that each phase took on this rank."""
        return dict(vars(self).get("_r1_phases", {}))

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        # vLLM's constructors are theirs: nothing of a subclass runs before them.
        seconds: dict[str, float] = vars(self).setdefault("_r1_phases", {})
        began = time.monotonic()
        try:
            yield
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.monotonic() - began
