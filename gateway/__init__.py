"""The request plane of r1: an OpenAI-compatible gateway in front of reasoning models.

It knows tenants and HTTP, and nothing of engines or Ray. `gateway.main` starts it;
`gateway.pipeline` shows the order of a request.
"""
