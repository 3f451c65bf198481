"""HTTP/1.1 on one event loop: requests read by llhttp, answered by an ASGI application."""
