"""Limits and budgets of keys, held over all workers and gateways, and the usage they come to.

A request of a bounded key reserves what it may take in one trip to the store, and settles what
it really took behind its answer. `gateway.limits.lua` says what is counted and how.
"""
