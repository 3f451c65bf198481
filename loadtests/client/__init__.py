"""A streaming client that measures: one for asyncio, one for plain (or gevent's) sockets.

What is measured is decided without any I/O (`reading.py`), so both measure alike.
"""
