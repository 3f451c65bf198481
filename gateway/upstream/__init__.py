"""Upstreams: the model servers behind the gateway, and one attempt at one of them."""
