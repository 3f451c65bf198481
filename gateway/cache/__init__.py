"""Answers given before, and those being given right now.

`stage` is what the pipeline calls. `canonical`, `policy`, `entry`, `splice` and `usage` are pure;
`tape`, `flight` and `board` share one generation among callers, workers and gateways.
"""
