"""An engine without a model: vLLM's HTTP with modelled timing, a finite KV cache and faults."""
