"""Wire formats: requests, answers, server-sent events, reasoning. Pure, no I/O."""
