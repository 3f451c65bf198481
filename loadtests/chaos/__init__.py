"""Faults put under traffic whose answers are known, and what callers see of them."""
