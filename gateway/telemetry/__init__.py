"""Metrics that are right with many workers, and structured logs."""
