"""Steady traffic whose answers are known: it shows what a change costs those who call meanwhile."""
