"""llama.cpp's own server, out of the xllamacpp wheel, as a program: FILE PORT."""

from __future__ import annotations

import signal
import sys

import xllamacpp


def main(file: str, port: str) -> None:
    """Serve until a signal."""
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.port = int(port)
    params.n_ctx = 8192
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    params.use_jinja = True
    params.warmup = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main(*sys.argv[1:])
