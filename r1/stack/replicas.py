"""How many replicas each model of a stack has, from one word of the command line."""

import argparse
from dataclasses import replace

from r1.stack.plan import ServedModel


def bounds(text: str) -> tuple[int, int]:
    """Read the least and the largest number of replicas.

    Raises:
        argparse.ArgumentTypeError: it is neither a number from 1 nor two in order.
    """
    least, dash, most = text.partition("-")
    try:
        found = int(least), int(most if dash else least)
    except ValueError:
        found = (0, 0)
    if not max(1, found[0]) <= found[1] or found[0] < 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number of replicas nor a least and a most such as 0-2"
        )
    return found


def spread(models: tuple[ServedModel, ...], replicas: tuple[int, int]) -> tuple[ServedModel, ...]:
    """The same models with so many replicas, at least and at most."""
    least, most = replicas
    return tuple(replace(each, min_replicas=least, max_replicas=most) for each in models)
