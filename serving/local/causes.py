"""What can keep an engine from starting or end it: patterns of its messages, and what to change.

The patterns are those of vLLM 0.29, PyTorch 2.13, safetensors 0.8, NCCL and Ray 2.60. A sentence
says what is wrong and then which number, file or setting to change; `{names}` come from the
pattern. Where a figure has to be computed, the sentence is a function of these.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Sentence = str | Callable[[Mapping[str, str]], str]


@dataclass(frozen=True)
class Cause:
    """A pattern in a failure's text and the sentence for it."""

    pattern: re.Pattern[str]
    sentence: Sentence

    def tell(self, text: str) -> str | None:
        """Return the sentence if the pattern is in the text, else None."""
        found = self.pattern.search(text)
        if found is None:
            return None
        named = {name: value for name, value in found.groupdict().items() if value is not None}
        return (
            self.sentence.format(**named)
            if isinstance(self.sentence, str)
            else self.sentence(named)
        )


def _cause(pattern: str, sentence: Sentence) -> Cause:
    return Cause(re.compile(pattern, re.IGNORECASE | re.DOTALL), sentence)


SMALLER_WEIGHTS = "bf16 or quantised weights"
_CUDA_OOM = r"(?:CUDA|HIP) out of memory"
_GIB = r"[\d.]+"


def _short_cache(named: Mapping[str, str]) -> str:
    context, needed, free = named["context"], named["needed"], named["free"]
    fits = named.get("fits")
    mend = f"reduce max_model_len to {fits}" if fits else "reduce max_model_len"
    return (
        f"the KV cache has {free} GiB and one request of max_model_len {context} needs {needed}: "
        f"{mend}, raise kv_cache_memory_bytes (where it isn't set, gpu_memory_utilization), "
        f"or use {SMALLER_WEIGHTS}"
    )


def _taken(named: Mapping[str, str]) -> str:
    free, total = float(named["free"]), float(named["total"])
    fits = math.floor(100 * free / total) / 100
    return (
        f"{named['free']} of {named['total']} GiB of memory are free, but gpu_memory_utilization "
        f"{named['share']} asks for {named['wanted']} GiB: end what else uses the device, or "
        f"reduce gpu_memory_utilization to {fits:.2f} or less"
    )


_MEMORY = (
    _cause(
        rf"max seq len \((?P<context>\d+)\), \((?P<needed>{_GIB}) GiB KV cache is needed.{{0,80}}?"
        rf"KV cache memory \((?P<free>{_GIB}) GiB\)"
        r"(?:.{0,80}?estimated maximum model length is (?P<fits>\d+))?",
        _short_cache,
    ),
    _cause(
        rf"\((?P<free>{_GIB})/(?P<total>{_GIB}) GiB\) on startup is less than desired "
        rf"(?:GPU|CPU) memory utilization \((?P<share>{_GIB}), (?P<wanted>{_GIB}) GiB\)",
        _taken,
    ),
    _cause(
        r"No available memory for the cache blocks|"
        r"on kv cache allocation is less than requested memory for kv",
        "too little free memory is left for the KV cache beside the weights: raise "
        "gpu_memory_utilization or tensor_parallel_size, reduce max_num_batched_tokens, use "
        f"{SMALLER_WEIGHTS}, or serve fewer models (--models)",
    ),
    _cause(
        r"out of memory occurred when warming up \w+ with (?P<count>\d+)",
        "the GPU's memory ran out with {count} requests at once: reduce max_num_seqs, or "
        "gpu_memory_utilization",
    ),
    _cause(
        rf"Failed to load model - not enough GPU memory|in load_model\b.{{0,5000}}?{_CUDA_OOM}",
        "the weights don't fit the GPU's memory: raise tensor_parallel_size, use "
        f"{SMALLER_WEIGHTS}, or take a smaller model",
    ),
    _cause(
        rf"in capture_model\b.{{0,5000}}?{_CUDA_OOM}|"
        r"CUDA graph capture failed.{0,200}?out of memory",
        "the GPU's memory ran out while graphs were captured: reduce gpu_memory_utilization or "
        "max_num_seqs, or set enforce_eager",
    ),
    _cause(
        rf"in (?:determine_available_memory|profile_run)\b.{{0,5000}}?{_CUDA_OOM}",
        "the GPU's memory ran out in a step of max_num_batched_tokens tokens: reduce "
        f"max_num_batched_tokens, raise tensor_parallel_size, or use {SMALLER_WEIGHTS}",
    ),
    _cause(
        rf"in (?:initialize_from_config|initialize_kv_cache)\b.{{0,5000}}?{_CUDA_OOM}",
        "the GPU's memory ran out when the KV cache was laid out: reduce gpu_memory_utilization "
        "or kv_cache_memory_bytes",
    ),
    _cause(
        _CUDA_OOM,
        "the GPU's memory ran out: reduce max_num_seqs, max_num_batched_tokens or "
        f"gpu_memory_utilization, or use {SMALLER_WEIGHTS}",
    ),
    _cause(
        r"dev/shm.{0,200}?No space left|No space left.{0,200}?/dev/shm|"
        r"unable to (?:allocate|open|mmap|write to) .{0,40}shared memory|"
        r"Error while creating shared memory segment|Bus error|SIGBUS|exit code: -7\b",
        "shared memory (/dev/shm) is full: give the container more (for instance "
        "`--shm-size 10g`, or an emptyDir of medium Memory at /dev/shm)",
    ),
    _cause(
        r"No space left on device",
        "the disk is full: free some space and start again",
    ),
    _cause(
        r"can't allocate memory|Cannot allocate memory|bad_alloc|MemoryError|"
        r"OutOfMemory|node was low on memory|Not enough memory|out of memory",
        "the machine has too little free memory for the model and its KV cache: end other "
        "programs, reduce kv_cache_memory_bytes, max_num_seqs or max_model_len, use "
        f"{SMALLER_WEIGHTS}, or serve fewer models (--models)",
    ),
    _cause(
        r"(?:exit code: -9\b|SIGKILL)",
        "its engine was killed, most often because the container's or the machine's memory ran "
        "out: raise the memory limit, or reduce kv_cache_memory_bytes or max_num_seqs",
    ),
)

_WEIGHTS = (
    # Written for the person already, by what fetches and checks weights.
    _cause(r"WeightsError: (?P<sentence>[^\n]+)", "{sentence}"),
    _cause(
        r"Weight files referenced in index but missing: \{(?P<files>[^}]{1,200})",
        "weights are missing: the index names {files}; fetch them again (`r1 weights pull`)",
    ),
    _cause(
        r"Cannot find any model weights with `(?P<folder>[^`]+)`",
        "there are no weights in {folder}: it needs the *.safetensors files (`r1 weights pull`)",
    ),
    _cause(
        r"SafetensorError|Error while deserializing",
        "a weights file is damaged or cut short: `r1 weights verify FOLDER` names it; "
        "fetch it again (`r1 weights pull`)",
    ),
    _cause(
        r"Following weights were not initialized from checkpoint: \{?'?(?P<name>[\w.]+)",
        "the weights lack tensors of the model, for instance {name}: a file is missing, or they "
        "belong to another model; `r1 weights verify FOLDER` looks at the files",
    ),
    _cause(
        r"There is no module or parameter named '?(?P<name>[\w.]+)|"
        r"size mismatch for [\w.]+|Attempted to load weight \(|Tried to load weights of size|"
        r"in (?:\w*load_weights|weight_loader\w*)\b.{0,5000}?exceeds dimension size",
        "the weights don't fit the model's configuration: was the weights folder changed?",
    ),
    _cause(
        r"Invalid repository ID or local directory specified: '(?P<folder>[^']*)'|"
        r"no config file found|is not a valid JSON file",
        "the weights folder has no readable config.json: fetch it again (`r1 weights pull`)",
    ),
    _cause(
        r"transformers/tokenization_\w+\.py|Couldn't instantiate the backend tokenizer|"
        r"Can't load tokenizer for|Failed to load the tokenizer|Error while loading tokenizer",
        "the tokenizer's files are missing or damaged: tokenizer.json and tokenizer_config.json "
        "belong beside the weights; fetch them again (`r1 weights pull`)",
    ),
    _cause(
        r"GatedRepoError|Access to model \S+ is restricted|401 Client Error|gated repo",
        "the hub refuses the weights: accept the model's terms on its page there and set HF_TOKEN",
    ),
    _cause(
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|couldn't connect to '?https?://|"
        r"Cannot reach https?://",
        "the hub can't be reached: fetch the weights where it can (`r1 weights pull MODEL --to "
        "FOLDER`) and give that folder as weights",
    ),
)

_ARGUMENTS = (
    _cause(
        r"max_model_len \((?P<asked>\d+)\) is greater than the derived max_model_len "
        r"\(\w+=(?P<most>[\d.]+)",
        "max_model_len {asked} is more than the model's {most} positions: reduce it",
    ),
    _cause(
        r"Bfloat16 is only supported on GPUs.{0,80}?Your (?P<gpu>.{1,60}?) GPU",
        "the {gpu} doesn't compute in bfloat16: set dtype to float16",
    ),
    _cause(
        r"quantization method (?P<method>\w+) is not supported for the current GPU. "
        r"Minimum capability: (?P<least>\d+). Current capability: (?P<have>\d+)",
        "{method} weights need a GPU of compute capability {least}, this one has {have}: use "
        "another build of the weights (bf16, AWQ or GPTQ) or a newer GPU",
    ),
    _cause(
        r"(?P<dtype>torch\.\w+) is not supported for quantization method (?P<method>\w+)\. "
        r"Supported dtypes: (?P<known>\[[^\]]*\])",
        "{method} weights don't compute in {dtype}: set dtype to one of {known}",
    ),
    _cause(
        r"Cannot find the config file for (?P<method>\w+)",
        "the weights are not quantised as {method}: leave `quantization` out, or use such a build",
    ),
    _cause(
        r"Unknown quantization method: (?P<method>\w+)|"
        r"(?P<other>\w+) quantization is currently not supported in (?P<device>\w+)",
        lambda named: (
            f"this engine can't run {named.get('method') or named['other']} weights"
            f"{' on ' + named['device'] if 'device' in named else ''}: leave `quantization` out "
            "or use another build of the weights"
        ),
    ),
    _cause(
        r"method specified in the model config \((?P<have>\w+)\) does not match .{0,60}"
        r"argument \((?P<asked>\w+)\)",
        "the weights are quantised as {have}, not as {asked}: leave `quantization` out",
    ),
    _cause(
        r"attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size "
        r"\((?P<ranks>\d+)\)",
        "{heads} attention heads can't be split over tensor_parallel_size {ranks}: give a divisor",
    ),
    _cause(
        r"Unknown engine argument: (?P<name>\w+)",
        "the engine has no argument {name}: check the overrides",
    ),
)

_MACHINE = (
    _cause(
        r"No such file or directory: '?(g\+\+|gcc|c\+\+|clang)|InvalidCxxCompiler|"
        r"No working C\+\+ compiler",
        "no working C++ compiler was found, and the engine compiles kernels at its first start: "
        "install one (for instance `apt-get install g++`)",
    ),
    _cause(
        r"NVIDIA driver on your system is too old",
        "the NVIDIA driver is too old for this engine: update it",
    ),
    _cause(
        r"No CUDA GPUs are available|Found no NVIDIA driver|Failed to infer device type",
        "the engine sees no GPU: check `nvidia-smi`, the container's GPU runtime and "
        "CUDA_VISIBLE_DEVICES, or give a machine without GPUs (hardware: cpu)",
    ),
    _cause(
        r"Cannot provide a placement group|number of available GPUs in the placement group|"
        r"World size \(\d+\) is larger than the number of available",
        "fewer GPUs are free than the engine's ranks need: reduce tensor_parallel_size × "
        "pipeline_parallel_size × data_parallel_size, or add GPUs",
    ),
    _cause(
        r"(?:port: (?P<port>\d+).{0,120}?)?(?:EADDRINUSE|Address already in use)",
        lambda named: (
            f"port {named.get('port', 'of the engine')} is taken by another program: end that, "
            "or take other ports (--port-base, VLLM_PORT)"
        ),
    ),
    _cause(
        r"NCCL error|nccl\w+Error|NCCL WARN|ncclResult",
        "the GPUs can't talk to each other (NCCL): set NCCL_SOCKET_IFNAME to the network card "
        "between the nodes, give /dev/shm 10 GiB, and run with NCCL_DEBUG=INFO to see more",
    ),
    _cause(
        r"Gloo connectFullMesh failed|Unable to find address for: (?P<card>\S+)|"
        r"Watchdog caught collective operation timeout|The client socket has timed out",
        "the engine's ranks can't reach each other: set GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME "
        "and VLLM_HOST_IP to the network between the nodes, and open its ports",
    ),
    _cause(
        r"Worker proc \S+ died unexpectedly \(exit code: -11\)",
        "a worker of its engine was killed by a segmentation fault",
    ),
    _cause(
        r"replica's health check failed",
        "its engine died or hangs; Ray Serve starts another",
    ),
)

# The first that matches wins: the more special ones come first. A cause of the machine's is
# named before the damage that it does, and weights before memory, whose words are everywhere.
CAUSES = (_MACHINE[0], *_WEIGHTS, *_ARGUMENTS, *_MEMORY, *_MACHINE[1:])
