"""Load on a running stack: it talks HTTP only and knows neither plane."""
