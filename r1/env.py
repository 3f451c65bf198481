"""`r1 env`: the two variables that an OpenAI client reads, for a running stack."""

import argparse
import shlex

from r1.stack.find import NoStack, add_base_argument, complain, find


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_base_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print export lines for a shell's eval."""
    try:
        home, status = find(arguments.port_base)
        key = home.user_key.read_text()
    except NoStack as error:
        return complain("env", error)
    except FileNotFoundError:
        return complain("env", NoStack("the stack has no key yet: it is still starting"))
    print(f"export OPENAI_BASE_URL=http://127.0.0.1:{status.ports['api']}/v1")
    print(f"export OPENAI_API_KEY={shlex.quote(key)}")
    return 0
