"""API keys: their format, how they are kept at rest, and how a request proves one.

`gateway.auth.manage` is the small interface that other programs use to make, list and
revoke keys.
"""
