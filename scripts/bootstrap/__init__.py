"""Makes `.venv` and keeps it fresh: `python3 -m scripts.bootstrap`, standard library only.

`make up` and `make test` both begin here. The first call takes about two minutes, a later one
a fraction of a second. Every refusal is one sentence that says what to do.

`__main__` and `interpreters` keep to the syntax of Python 3.6, so that any python3 that a machine
has can say which Python is needed instead of failing at a line that it cannot read.
"""
