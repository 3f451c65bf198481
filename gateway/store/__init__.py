"""Shared state of all workers and replicas, in Redis."""
