"""The local user's own API key: made at the first start, kept in a file only they can read."""

from gateway.auth.manage import create_key, list_keys, revoke_key
from gateway.config import ConfigError
from gateway.store.redis import StoreDown
from r1.stack.home import Home, write_private
from r1.stack.ports import PortPlan
from r1.stack.redis_server import redis_url

KEY_NAME = "local user"


class NoFirstKey(RuntimeError):
    """The first key couldn't be made; the message says why."""


def ensure_user_key(home: Home, ports: PortPlan) -> bool:
    """Make the local user's key if the store or the file doesn't have it; tell whether it was made.

    Raises:
        NoFirstKey: the store doesn't answer, or a secret can't be read.
    """
    url = redis_url(ports.store, home.secret_file("store.password").read_text())
    pepper = home.secret_file("pepper")
    try:
        states = list_keys(url, pepper)
        known = [state.record for state in states if state.record.name == KEY_NAME]
        if home.user_key.exists() and known:
            return False
        for key in known:
            # Its text is lost with the file: nobody can use it, unless it was stolen.
            revoke_key(url, pepper, key.id)
        created = create_key(url, pepper, name=KEY_NAME)
    except (StoreDown, ConfigError) as error:
        raise NoFirstKey(f"the first API key can't be made: {error}") from error
    write_private(home.user_key, created.key)
    return True
