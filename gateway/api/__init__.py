"""HTTP routes: inference (raw ASGI), models, health and administration."""
