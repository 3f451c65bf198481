"""Weights: where they come from, a cache on each node, checksums, and how they are loaded."""
