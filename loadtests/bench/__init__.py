"""`r1 bench`: a load against any OpenAI-compatible server, its figures, its gates, its page."""
