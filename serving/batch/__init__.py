"""Offline batches: files of requests in OpenAI's batch format, over Ray Data's vLLM processor.

`run.py` reads the input and writes the output in one process; `worker.py` has Ray and the engines
in another. What the two say to each other are lines of JSON.
"""
