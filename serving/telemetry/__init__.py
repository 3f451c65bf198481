"""Gauges next to the engines: GPUs, memory, cold starts, and where their replicas are."""
