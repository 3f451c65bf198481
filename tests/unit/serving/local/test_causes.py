"""What engines say when they can't start or die, and the number to change for each."""

import pytest

from serving.local.explain import explain, root_cause

CASES = {
    "KV cache smaller than the context, with an estimate": (
        "ValueError: To serve at least one request with the model's max seq len (131072), (8.0 GiB "
        "KV cache is needed, which is larger than the available KV cache memory (3.21 GiB). Based "
        "on the available memory, the estimated maximum model length is 52592. Try increasing "
        "`gpu_memory_utilization`",
        ("3.21 GiB", "max_model_len 131072 needs 8.0", "reduce max_model_len to 52592", "quantis"),
    ),
    "KV cache smaller than the context, without": (
        "To serve at least one request with the model's max seq len (4096), (0.50 GiB KV cache is "
        "needed, which is larger than the available KV cache memory (0.00 GiB). Try increasing",
        ("reduce max_model_len,", "raise kv_cache_memory_bytes", "gpu_memory_utilization"),
    ),
    "no KV cache at all": (
        "ValueError: No available memory for the cache blocks. Try increasing "
        "`gpu_memory_utilization` when initializing the engine",
        ("raise gpu_memory_utilization", "max_num_batched_tokens", "bf16 or quantised weights"),
    ),
    "a GPU that is in use": (
        "ValueError: Free memory on device cuda:0 (40.11/79.10 GiB) on startup is less than "
        "desired GPU memory utilization (0.92, 72.78 GiB). Decrease GPU memory utilization",
        ("40.11 of 79.10 GiB", "reduce gpu_memory_utilization to 0.50 or less"),
    ),
    "a computer whose memory is in use": (
        "ValueError: Available memory on node 0 (3.00/23.50 GiB) on startup is less than desired "
        "CPU memory utilization (0.92, 21.62 GiB). On the CPU backend",
        ("reduce gpu_memory_utilization to 0.12 or less",),
    ),
    "a sampler too wide": (
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy "
        "requests. Please try lowering `max_num_seqs`",
        ("1024 requests", "reduce max_num_seqs"),
    ),
    "weights larger than the GPU": (
        'File "gpu_model_runner.py", line 5400, in load_model\n    self.model = x\n'
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB. GPU 0 has a "
        "total capacity of 14.56 GiB",
        ("raise tensor_parallel_size", "bf16 or quantised weights"),
    ),
    "weights larger than the GPU, in the engine's words": (
        "Failed to load model - not enough GPU memory. Try lowering --gpu-memory-utilization",
        ("raise tensor_parallel_size", "quantised"),
    ),
    "graphs": (
        'File "gpu_model_runner.py", line 1, in capture_model\ntorch.OutOfMemoryError: CUDA out of '
        "memory. Tried to allocate 2.00 MiB",
        ("reduce gpu_memory_utilization or max_num_seqs", "enforce_eager"),
    ),
    "activations": (
        'File "gpu_worker.py", line 1, in determine_available_memory\ntorch.OutOfMemoryError: CUDA '
        "out of memory. Tried to allocate 20.00 GiB",
        ("reduce max_num_batched_tokens",),
    ),
    "the cache itself": (
        'File "gpu_worker.py", line 1, in initialize_from_config\ntorch.OutOfMemoryError: CUDA out '
        "of memory.",
        ("reduce gpu_memory_utilization or kv_cache_memory_bytes",),
    ),
    "a GPU that ran out while serving": (
        "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 20.00 MiB.",
        ("reduce max_num_seqs, max_num_batched_tokens or gpu_memory_utilization",),
    ),
    "shared memory": (
        "OSError: [Errno 28] No space left on device: '/dev/shm/psm_77'",
        ("/dev/shm", "--shm-size"),
    ),
    "shared memory, in NCCL's words": (
        "misc/shmutils.cc:72 NCCL WARN Error: failed to extend /dev/shm/nccl-TBt2Cl to 9637892 "
        "bytes\nError while creating shared memory segment /dev/shm/nccl-TBt2Cl",
        ("/dev/shm", "--shm-size"),
    ),
    "a bus error": ("died unexpectedly (exit code: -7)", ("/dev/shm",)),
    "a killed engine": (
        "RuntimeError: Worker proc VllmWorker-0 died unexpectedly (exit code: -9)",
        ("memory limit", "max_num_seqs"),
    ),
    "a shard that isn't there": (
        "FileNotFoundError: Weight files referenced in index but missing: "
        "{'/w/model-00002-of-00002.safetensors'}",
        ("'/w/model-00002-of-00002.safetensors'", "r1 weights pull"),
    ),
    "no weights": (
        "RuntimeError: Cannot find any model weights with `/w/r1`",
        ("no weights in /w/r1", "*.safetensors"),
    ),
    "a cut file": (
        "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, "
        "file not fully covered",
        ("damaged or cut short", "r1 weights verify"),
    ),
    "tensors missing": (
        "ValueError: Following weights were not initialized from checkpoint: "
        "{'model.layers.1.mlp.gate.weight'}",
        ("model.layers.1.mlp.gate.weight",),
    ),
    "tensors of another size": (
        "RuntimeError: size mismatch for model.embed_tokens",
        ("don't fit the model's configuration",),
    ),
    "no config.json": (
        "ValueError: Invalid repository ID or local directory specified: '/w/r1'.\nPlease verify",
        ("no readable config.json",),
    ),
    "no tokenizer": (
        "OSError: Can't load tokenizer for '/w/r1'. If you were trying to load it from",
        ("tokenizer.json",),
    ),
    "a gated model": (
        "GatedRepoError: 401 Client Error. Cannot access gated repo for url",
        ("accept the model's terms", "HF_TOKEN"),
    ),
    "no hub": (
        "LocalEntryNotFoundError: Cannot find the requested files in the disk cache",
        ("r1 weights pull MODEL --to FOLDER",),
    ),
    "our own word on weights": (
        "ray.exceptions.RayTaskError: serving.weights.errors.WeightsError: a.safetensors is cut "
        "short; fetch it again\n  at frame",
        ("a.safetensors is cut short; fetch it again",),
    ),
    "a context longer than the model's": (
        "ValueError: User-specified max_model_len (524288) is greater than the derived "
        "max_model_len (max_position_embeddings=163840.0 or model_max_length=None in",
        ("max_model_len 524288", "163840", "reduce it"),
    ),
    "bfloat16 on an old GPU": (
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. "
        "Your Tesla T4 GPU has compute capability 7.5. You can use float16 instead",
        ("Tesla T4", "dtype to float16"),
    ),
    "quantisation on an old GPU": (
        "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum "
        "capability: 80. Current capability: 75.",
        ("fp8", "compute capability 80", "75", "another build"),
    ),
    "quantisation in the wrong type": (
        "ValueError: torch.bfloat16 is not supported for quantization method gptq. Supported "
        "dtypes: [torch.float16]",
        ("set dtype to one of [torch.float16]",),
    ),
    "unknown quantisation": (
        "ValueError: Unknown quantization method: int3. Must be one of ['awq']",
        ("int3", "leave `quantization` out"),
    ),
    "quantisation that this device can't": (
        "ValueError: modelopt_fp4 quantization is currently not supported in cpu.",
        ("modelopt_fp4 weights on cpu",),
    ),
    "another quantisation than the weights'": (
        "ValueError: Quantization method specified in the model config (fp8) does not match the "
        "quantization method specified in the `quantization` argument (awq).",
        ("quantised as fp8, not as awq",),
    ),
    "heads that can't be split": (
        "ValueError: Total number of attention heads (28) must be divisible by tensor parallel "
        "size (8).",
        ("28 attention heads", "tensor_parallel_size 8"),
    ),
    "too few GPUs": (
        "ValueError: Cannot provide a placement group requiring 8 GPUs within 1800 seconds",
        ("reduce tensor_parallel_size",),
    ),
    "an old driver": (
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040)",
        ("update it",),
    ),
    "no GPU": ("RuntimeError: No CUDA GPUs are available", ("nvidia-smi", "CUDA_VISIBLE_DEVICES")),
    "a taken port": (
        "torch.distributed.DistNetworkError: The server socket has failed to listen on any local "
        "network address. port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: "
        "address already in use",
        ("port 29500", "VLLM_PORT"),
    ),
    "NCCL": (
        "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:94, unhandled "
        "system error\nncclSystemError: System call (e.g. socket, malloc) failed",
        ("NCCL_SOCKET_IFNAME",),
    ),
    "Gloo": (
        "RuntimeError: Gloo connectFullMesh failed with [gloo/transport/tcp/pair.cc:144] no error",
        ("GLOO_SOCKET_IFNAME",),
    ),
}


@pytest.mark.parametrize(("text", "words"), CASES.values(), ids=CASES)
def test_a_failure_says_what_to_change(text: str, words: tuple[str, ...]) -> None:
    sentence = explain(text)
    for word in words:
        assert word in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(("text", "words"), CASES.values(), ids=CASES)
def test_the_same_is_found_in_an_engines_log(text: str, words: tuple[str, ...]) -> None:
    prefix = "(ModelServer pid=7) (EngineCore pid=8) ERROR 11-22 16:59:55 [core.py:1374] "
    log = "\n".join(prefix + line for line in text.splitlines())
    sentence = root_cause("(ModelServer pid=7) (EngineCore pid=8) INFO 1 [a.py:1] fine\n" + log)
    assert sentence is not None
    assert words[0] in sentence
