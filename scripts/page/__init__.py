"""Writes what the README takes from elsewhere: figures, charts and pictures of a terminal.

python -m scripts.page            the tables of figures and the charts, from docs/benchmarks.md
python -m scripts.page --check    says which of them are stale
python -m scripts.page plan       a picture of `r1 plan` in a terminal
python -m scripts.page stack      one of a question, live figures and usage, on a stack that runs
"""
