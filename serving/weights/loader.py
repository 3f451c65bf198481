"""Which of vLLM's loaders reads the weights fastest with what is installed. Pure."""

from collections.abc import Callable

RUNAI_MODULE = "runai_model_streamer"
FAST_MODULE = "fastsafetensors"


def load_format(
    installed: Callable[[str], bool], *, gpu: bool, expert_parallel: bool
) -> tuple[str, str] | None:
    """Return vLLM's `load_format` and the reason for it, or None to leave its own choice.

    Args:
        installed: tells whether a module can be imported.
        gpu: the engine runs on GPUs. On processors weights are mapped, not copied.
        expert_parallel: each rank has experts of its own. Only vLLM's own loader reads just
            these; the streaming ones read the whole model on every rank.
    """
    if not gpu or expert_parallel:
        return None
    if installed(RUNAI_MODULE):
        return "runai_streamer", "files are read in parallel streams"
    if installed(FAST_MODULE):
        return "fastsafetensors", "files are read in parallel, straight to the GPU"
    return None
