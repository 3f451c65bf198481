"""Gateways side by side: the same upstream, the same load, one core for each gateway in turn."""
